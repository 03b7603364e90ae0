//! A mail server that records the messages it accepts and fails as a test requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A point in an SMTP session.
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
    /// In the middle of the message.
    Content,
    /// After the final dot.
    Dot,
}

/// What the relay does at a step instead of its usual reply.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// Sends this reply.
    Say(&'static str),
    /// Closes the connection. After the final dot: without accepting the message.
    Drop,
    /// Accepts the message and closes the connection without a reply. After the final dot only.
    TakeAndDrop,
    /// Never replies.
    Stall,
    /// Accepts the message and never replies. After the final dot only.
    TakeAndStall,
    /// Replies as usual after this time.
    Wait(Duration),
    /// Accepts the message and sends these bytes unchanged. After the final dot only.
    TakeAndSay(&'static [u8]),
    /// Sends this text repeatedly, forever.
    Flood(&'static str),
}

/// A message that the relay accepted.
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
            .expect("the message cannot be parsed")
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
    /// Steps at which a trouble has started.
    reached: Vec<Step>,
    connections: u32,
    /// The commands of all sessions, without the messages.
    commands: Vec<String>,
    /// Close the connection without a reply to QUIT after this many more messages.
    close_after_messages: u32,
    /// Messages that were accepted without a reply.
    unanswered: u32,
    /// Replies to the final dot that were sent after [`Trouble::Wait`].
    late_replies: u32,
    /// Keep only the headers, so that thousands of letters fit into memory.
    headers_only: bool,
    /// Do not offer PIPELINING.
    one_by_one: bool,
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
        let (for_sessions, counter) = (Arc::clone(&shared), count.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                for_sessions.lock().unwrap().connections += 1;
                let session = Session { shared: Arc::clone(&for_sessions), count: counter.clone() };
                tokio::spawn(session.run(stream));
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

    /// The next `times` sessions that reach this step have this trouble.
    pub fn fail(&self, step: Step, trouble: Trouble, times: u32) {
        self.shared.lock().unwrap().troubles.push((step, trouble, times));
    }

    /// Removes all troubles.
    pub fn heal(&self) {
        self.shared.lock().unwrap().troubles.clear();
    }

    /// From now on, sessions take one command at a time.
    pub fn without_pipelining(&self) {
        self.shared.lock().unwrap().one_by_one = true;
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

    /// Waits until a session has a trouble at this step.
    pub async fn reached(&self, step: Step) {
        let reached = async {
            while !self.shared.lock().unwrap().reached.contains(&step) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached)
            .await
            .expect("no session reached this step");
    }

    /// Waits until the relay has accepted this many messages.
    pub async fn wait_for(&self, letters: usize) {
        let accepted =
            async { self.count.subscribe().wait_for(|count| *count >= letters).await.map(drop) };
        let waited = tokio::time::timeout(std::time::Duration::from_mins(1), accepted).await;
        waited
            .unwrap_or_else(|_| {
                panic!("{} of {letters} letters after a minute", self.letters().len())
            })
            .unwrap();
    }
}

#[allow(dead_code, reason = "not every program that shares this file uses them")]
impl Relay {
    /// Forgets that a session has reached this step.
    pub fn forget(&self, step: Step) {
        self.shared.lock().unwrap().reached.retain(|reached| *reached != step);
    }

    pub fn keep_headers_only(&self) {
        self.shared.lock().unwrap().headers_only = true;
    }

    /// The commands of all sessions, without the messages.
    pub fn commands(&self) -> Vec<String> {
        self.shared.lock().unwrap().commands.clone()
    }

    /// How many messages were accepted without a reply.
    pub fn unanswered(&self) -> u32 {
        self.shared.lock().unwrap().unanswered
    }

    pub fn count(&self) -> usize {
        self.shared.lock().unwrap().letters.len()
    }
}

/// One SMTP session.
struct Session {
    shared: Arc<Mutex<Shared>>,
    count: watch::Sender<usize>,
}

/// The connection is closed or must be.
struct Disconnect;

impl Session {
    async fn run(self, stream: TcpStream) {
        // The session is over, whichever side closed the connection.
        let _ = self.reply_to_commands(BufReader::new(stream)).await;
    }

    async fn reply_to_commands(&self, mut line: BufReader<TcpStream>) -> Result<(), Disconnect> {
        self.answer(&mut line, Step::Connect, "220 relay.test ready").await?;
        let (mut from, mut to) = (String::new(), Vec::new());
        loop {
            let command = read_line(&mut line).await?;
            self.shared.lock().unwrap().commands.push(command.clone());
            let verb = command.split([' ', ':']).next().unwrap_or_default().to_uppercase();
            match verb.as_str() {
                "EHLO" | "HELO" => {
                    self.answer(&mut line, Step::Hello, self.capabilities()).await?;
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
                    self.accept(&mut line, Received { from: from.clone(), to: to.clone(), bytes })
                        .await?;
                }
                "RSET" | "NOOP" => say(&mut line, "250 2.0.0 ok").await?,
                "QUIT" => return say(&mut line, "221 2.0.0 bye").await,
                _ => say(&mut line, "500 5.5.1 what?").await?,
            }
        }
    }

    fn capabilities(&self) -> &'static str {
        if self.shared.lock().unwrap().one_by_one {
            "250-relay.test\r\n250-8BITMIME\r\n250 SIZE 10000000"
        } else {
            "250-relay.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 10000000"
        }
    }

    async fn content(&self, line: &mut BufReader<TcpStream>) -> Result<Vec<u8>, Disconnect> {
        let mut bytes = Vec::new();
        loop {
            let mut one = Vec::new();
            if line.read_until(b'\n', &mut one).await.map_err(|_| Disconnect)? == 0 {
                return Err(Disconnect);
            }
            if bytes.len() > 1000 {
                self.trouble(line, Step::Content).await?;
            }
            if one == b".\r\n" {
                return Ok(bytes);
            }
            // RFC 5321 section 4.5.2: the client doubles a dot at the beginning of a line.
            bytes.extend_from_slice(one.strip_prefix(b".").unwrap_or(&one));
        }
    }

    async fn accept(
        &self,
        line: &mut BufReader<TcpStream>,
        letter: Received,
    ) -> Result<(), Disconnect> {
        let keep = || {
            let mut letter = letter.clone();
            let mut shared = self.shared.lock().unwrap();
            if shared.headers_only {
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
                Err(Disconnect)
            }
            Some(Trouble::Say(text)) => say(line, text).await,
            Some(Trouble::Drop) => Err(Disconnect),
            Some(Trouble::TakeAndDrop) => {
                keep();
                self.shared.lock().unwrap().unanswered += 1;
                Err(Disconnect)
            }
            Some(Trouble::Stall) => std::future::pending().await,
            Some(Trouble::TakeAndStall) => {
                keep();
                self.shared.lock().unwrap().unanswered += 1;
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
                line.get_mut().write_all(bytes).await.map_err(|_| Disconnect)
            }
            Some(Trouble::Flood(text)) => flood(line, text).await,
        }
    }

    async fn answer(
        &self,
        line: &mut BufReader<TcpStream>,
        step: Step,
        usual: &str,
    ) -> Result<(), Disconnect> {
        match self.trouble(line, step).await? {
            Some(text) => {
                say(line, text).await?;
                // A 421 announces that the connection will be closed.
                if text.starts_with("421") || step == Step::Connect {
                    Err(Disconnect)
                } else {
                    Ok(())
                }
            }
            None => say(line, usual).await,
        }
    }

    /// Acts out the trouble of this step, if there is one. Returns the reply that it requests.
    async fn trouble(
        &self,
        line: &mut BufReader<TcpStream>,
        step: Step,
    ) -> Result<Option<&'static str>, Disconnect> {
        match self.next_trouble(step) {
            None => Ok(None),
            Some(Trouble::Say(text)) => Ok(Some(text)),
            Some(Trouble::Drop | Trouble::TakeAndDrop) => Err(Disconnect),
            Some(Trouble::Stall | Trouble::TakeAndStall) => std::future::pending().await,
            Some(Trouble::Wait(time)) => {
                tokio::time::sleep(time).await;
                Ok(None)
            }
            Some(Trouble::TakeAndSay(_)) => panic!("this trouble is for the final dot only"),
            Some(Trouble::Flood(text)) => flood(line, text).await.map(|()| None),
        }
    }

    /// The step of a recipient: that of its domain if there is a trouble for it.
    fn rcpt(&self, recipient: &str, position: usize) -> Step {
        let domain = recipient.split_once('@').map(|(_, domain)| domain);
        let shared = self.shared.lock().unwrap();
        let for_domain = shared.troubles.iter().find(|(step, _, times)| {
            matches!(step, Step::To(failing) if *times > 0 && Some(*failing) == domain)
        });
        for_domain.map_or(Step::Rcpt(position), |(step, _, _)| *step)
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

async fn say(line: &mut BufReader<TcpStream>, text: &str) -> Result<(), Disconnect> {
    line.get_mut().write_all(format!("{text}\r\n").as_bytes()).await.map_err(|_| Disconnect)
}

async fn flood(line: &mut BufReader<TcpStream>, text: &str) -> Result<(), Disconnect> {
    let text = text.repeat(1000);
    loop {
        line.get_mut().write_all(text.as_bytes()).await.map_err(|_| Disconnect)?;
    }
}

async fn read_line(line: &mut BufReader<TcpStream>) -> Result<String, Disconnect> {
    let mut text = String::new();
    match line.read_line(&mut text).await {
        Ok(0) | Err(_) => Err(Disconnect),
        Ok(_) => Ok(text.trim_end().to_owned()),
    }
}

/// The address between the angle brackets.
fn path_of(command: &str) -> String {
    let path = command.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    path.map(|(path, _)| path.to_owned()).unwrap_or_default()
}
