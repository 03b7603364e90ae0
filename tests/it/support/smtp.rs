//! A mail server that counts what it takes, and fails when it is told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Where in the talk something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Connect,
    Hello,
    Mail,
    /// The first recipient, or the second: the blind copy.
    Rcpt(usize),
    /// A recipient at this domain.
    To(&'static str),
    Data,
    /// In the midst of the message.
    Content,
    /// After the final dot.
    Dot,
}

/// What happens there.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// This answer instead of the usual one.
    Say(&'static str),
    /// The line is cut. After the final dot: the message is not taken.
    Drop,
    /// The message is taken and the line is cut before the answer. After the final dot only.
    TakeAndDrop,
    /// Nothing, for ever.
    Stall,
    /// The message is taken, and then nothing, for ever. After the final dot only.
    TakeAndStall,
    /// All goes well, after so long.
    Wait(Duration),
    /// These bytes, as they are; the message is taken. After the final dot only.
    TakeAndSay(&'static [u8]),
    /// This text again and again, without an end.
    Flood(&'static str),
}

/// A message that was taken.
#[derive(Clone, Debug)]
pub struct Received {
    pub from: String,
    pub to: Vec<String>,
    pub bytes: Vec<u8>,
}

impl Received {
    pub fn message(&self) -> mail_parser::Message<'_> {
        mail_parser::MessageParser::default()
            .parse(&self.bytes)
            .expect("a message that can be read")
    }

    /// A header's raw value, unfolded.
    pub fn header(&self, name: &str) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let head = text
            .split("\r\n\r\n")
            .next()
            .unwrap_or_default()
            .replace("\r\n ", " ")
            .replace("\r\n\t", " ");
        let prefix = format!("{}:", name.to_lowercase());
        let line = head.lines().find(|line| line.to_lowercase().starts_with(&prefix));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    }
}

#[derive(Default)]
struct Shared {
    letters: Vec<Received>,
    troubles: Vec<(Step, Trouble, u32)>,
    /// Steps at which a trouble has begun.
    reached: Vec<Step>,
    connections: u32,
    /// The commands of all talks, without the messages.
    commands: Vec<String>,
    /// Close the connection after so many messages more, without a word.
    close_after_messages: u32,
    /// Messages that were taken without an answer.
    untold: u32,
    /// Replies to the final dot that were sent after [`Trouble::Wait`].
    late_replies: u32,
    /// Keep the headers alone: thousands of letters would not fit into memory otherwise.
    heads_only: bool,
}

pub struct Relay {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    count: watch::Sender<usize>,
}

impl Relay {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shared, count) = (Arc::<Mutex<Shared>>::default(), watch::Sender::new(0));
        let (for_talks, counter) = (Arc::clone(&shared), count.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                for_talks.lock().unwrap().connections += 1;
                let talk = Talk { shared: Arc::clone(&for_talks), count: counter.clone() };
                tokio::spawn(talk.hold(stream));
            }
        });
        Self { address, shared, count }
    }

    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    pub fn letters(&self) -> Vec<Received> {
        self.shared.lock().unwrap().letters.clone()
    }

    pub fn connections(&self) -> u32 {
        self.shared.lock().unwrap().connections
    }

    /// The next `times` talks that come to this step run into trouble.
    pub fn fail(&self, step: Step, trouble: Trouble, times: u32) {
        self.shared.lock().unwrap().troubles.push((step, trouble, times));
    }

    /// Takes back all `troubles`.
    pub fn heal(&self) {
        self.shared.lock().unwrap().troubles.clear();
    }

    pub fn close_after_message(&self) {
        self.close_after_message_for(u32::MAX);
    }

    /// Closes the connection after each of the next messages.
    pub fn close_after_message_for(&self, messages: u32) {
        self.shared.lock().unwrap().close_after_messages = messages;
    }

    /// Replies to the final dot that were sent after [`Trouble::Wait`].
    pub fn late_replies(&self) -> u32 {
        self.shared.lock().unwrap().late_replies
    }

    /// Waits until some talk has run into trouble at this step.
    pub async fn reached(&self, step: Step) {
        let reached = async {
            while !self.shared.lock().unwrap().reached.contains(&step) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached)
            .await
            .expect("no talk came to this step");
    }

    /// Waits until so many messages were taken.
    pub async fn wait_for(&self, letters: usize) {
        let taken =
            async { self.count.subscribe().wait_for(|count| *count >= letters).await.map(drop) };
        let waited = tokio::time::timeout(std::time::Duration::from_mins(1), taken).await;
        waited
            .unwrap_or_else(|_| {
                panic!("{} of {letters} letters after a minute", self.letters().len())
            })
            .unwrap();
    }
}

/// What not everybody wants to know.
#[allow(dead_code, reason = "not every program that shares this file asks")]
impl Relay {
    /// Forgets that a talk has come to this step.
    pub fn forget(&self, step: Step) {
        self.shared.lock().unwrap().reached.retain(|reached| *reached != step);
    }

    pub fn keep_heads_only(&self) {
        self.shared.lock().unwrap().heads_only = true;
    }

    /// The commands of all talks, without the messages.
    pub fn commands(&self) -> Vec<String> {
        self.shared.lock().unwrap().commands.clone()
    }

    /// Messages that were taken without an answer.
    pub fn untold(&self) -> u32 {
        self.shared.lock().unwrap().untold
    }

    pub fn count(&self) -> usize {
        self.shared.lock().unwrap().letters.len()
    }
}

struct Talk {
    shared: Arc<Mutex<Shared>>,
    count: watch::Sender<usize>,
}

/// The line is to be cut.
struct Cut;

impl Talk {
    async fn hold(self, stream: TcpStream) {
        // Whoever hangs up first, the talk is over.
        let _ = self.talk(BufReader::new(stream)).await;
    }

    async fn talk(&self, mut line: BufReader<TcpStream>) -> Result<(), Cut> {
        self.answer(&mut line, Step::Connect, "220 relay.test ready").await?;
        let (mut from, mut to) = (String::new(), Vec::new());
        loop {
            let command = read_line(&mut line).await?;
            self.shared.lock().unwrap().commands.push(command.clone());
            let verb = command.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            match verb.as_str() {
                "EHLO" | "HELO" => {
                    self.answer(
                        &mut line,
                        Step::Hello,
                        "250-relay.test\r\n250-8BITMIME\r\n250 SIZE 10000000",
                    )
                    .await?;
                }
                "MAIL" => {
                    from = path_of(&command);
                    to = Vec::new();
                    self.answer(&mut line, Step::Mail, "250 2.1.0 sender ok").await?;
                }
                "RCPT" => {
                    let recipient = path_of(&command);
                    self.answer(
                        &mut line,
                        self.rcpt(&recipient, to.len()),
                        "250 2.1.5 recipient ok",
                    )
                    .await?;
                    to.push(recipient);
                }
                "DATA" => {
                    self.answer(&mut line, Step::Data, "354 go ahead").await?;
                    let bytes = self.content(&mut line).await?;
                    self.take(&mut line, Received { from: from.clone(), to: to.clone(), bytes })
                        .await?;
                }
                "RSET" | "NOOP" => say(&mut line, "250 2.0.0 ok").await?,
                "QUIT" => return say(&mut line, "221 2.0.0 bye").await,
                _ => say(&mut line, "500 5.5.1 what?").await?,
            }
        }
    }

    async fn content(&self, line: &mut BufReader<TcpStream>) -> Result<Vec<u8>, Cut> {
        let mut bytes = Vec::new();
        loop {
            let mut one = Vec::new();
            if line.read_until(b'\n', &mut one).await.map_err(|_| Cut)? == 0 {
                return Err(Cut);
            }
            if bytes.len() > 1000 {
                self.trouble(line, Step::Content).await?;
            }
            if one == b".\r\n" {
                return Ok(bytes);
            }
            // RFC 5321 section 4.5.2: a dot at the beginning of a line was doubled.
            bytes.extend_from_slice(one.strip_prefix(b".").unwrap_or(&one));
        }
    }

    async fn take(&self, line: &mut BufReader<TcpStream>, letter: Received) -> Result<(), Cut> {
        let keep = || {
            let mut letter = letter.clone();
            let mut shared = self.shared.lock().unwrap();
            if shared.heads_only {
                let head = letter.bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n");
                letter.bytes.truncate(head.map_or(letter.bytes.len(), |end| end + 4));
            }
            shared.letters.push(letter);
            drop(shared);
            self.count.send_modify(|count| *count += 1);
        };
        match self.next_trouble(Step::Dot) {
            None => {
                keep();
                say(line, "250 2.0.0 queued as 1A2B3C").await?;
                let mut shared = self.shared.lock().unwrap();
                if shared.close_after_messages == 0 {
                    return Ok(());
                }
                shared.close_after_messages -= 1;
                Err(Cut)
            }
            Some(Trouble::Say(text)) => say(line, text).await,
            Some(Trouble::Drop) => Err(Cut),
            Some(Trouble::TakeAndDrop) => {
                keep();
                self.shared.lock().unwrap().untold += 1;
                Err(Cut)
            }
            Some(Trouble::Stall) => std::future::pending().await,
            Some(Trouble::TakeAndStall) => {
                keep();
                self.shared.lock().unwrap().untold += 1;
                std::future::pending().await
            }
            Some(Trouble::Wait(time)) => {
                keep();
                tokio::time::sleep(time).await;
                self.shared.lock().unwrap().late_replies += 1;
                say(line, "250 2.0.0 queued as 1A2B3C").await
            }
            Some(Trouble::TakeAndSay(bytes)) => {
                keep();
                line.get_mut().write_all(bytes).await.map_err(|_| Cut)
            }
            Some(Trouble::Flood(text)) => flood(line, text).await,
        }
    }

    async fn answer(
        &self,
        line: &mut BufReader<TcpStream>,
        step: Step,
        usual: &str,
    ) -> Result<(), Cut> {
        match self.trouble(line, step).await? {
            Some(text) => {
                say(line, text).await?;
                // 421 says that the line is about to be closed.
                if text.starts_with("421") || step == Step::Connect { Err(Cut) } else { Ok(()) }
            }
            None => say(line, usual).await,
        }
    }

    /// Runs into trouble, if there is any at this step; the answer where that is all.
    async fn trouble(
        &self,
        line: &mut BufReader<TcpStream>,
        step: Step,
    ) -> Result<Option<&'static str>, Cut> {
        match self.next_trouble(step) {
            None => Ok(None),
            Some(Trouble::Say(text)) => Ok(Some(text)),
            Some(Trouble::Drop | Trouble::TakeAndDrop) => Err(Cut),
            Some(Trouble::Stall | Trouble::TakeAndStall) => std::future::pending().await,
            Some(Trouble::Wait(time)) => {
                tokio::time::sleep(time).await;
                Ok(None)
            }
            Some(Trouble::TakeAndSay(_)) => panic!("after the final dot only"),
            Some(Trouble::Flood(text)) => flood(line, text).await.map(|()| None),
        }
    }

    /// The step of a recipient, who may have trouble of their own.
    fn rcpt(&self, recipient: &str, position: usize) -> Step {
        let domain = recipient.split_once('@').map(|(_, domain)| domain);
        let shared = self.shared.lock().unwrap();
        let own = shared.troubles.iter().find(
            |(step, _, times)| matches!(step, Step::To(troubled) if *times > 0 && Some(*troubled) == domain),
        );
        own.map_or(Step::Rcpt(position), |(step, _, _)| *step)
    }

    fn next_trouble(&self, step: Step) -> Option<Trouble> {
        let mut shared = self.shared.lock().unwrap();
        let (_, trouble, times) =
            shared.troubles.iter_mut().find(|(at, _, times)| *at == step && *times > 0)?;
        *times -= 1;
        let trouble = trouble.clone();
        shared.reached.push(step);
        Some(trouble)
    }
}

async fn say(line: &mut BufReader<TcpStream>, text: &str) -> Result<(), Cut> {
    line.get_mut().write_all(format!("{text}\r\n").as_bytes()).await.map_err(|_| Cut)
}

async fn flood(line: &mut BufReader<TcpStream>, text: &str) -> Result<(), Cut> {
    let text = text.repeat(1000);
    loop {
        line.get_mut().write_all(text.as_bytes()).await.map_err(|_| Cut)?;
    }
}

async fn read_line(line: &mut BufReader<TcpStream>) -> Result<String, Cut> {
    let mut text = String::new();
    match line.read_line(&mut text).await {
        Ok(0) | Err(_) => Err(Cut),
        Ok(_) => Ok(text.trim_end().to_owned()),
    }
}

/// What stands between the angle brackets.
fn path_of(command: &str) -> String {
    let path = command.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    path.map(|(path, _)| path.to_owned()).unwrap_or_default()
}
