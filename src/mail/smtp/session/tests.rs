//! Sessions with a scripted relay.

use tokio::io::{AsyncBufReadExt, BufReader, DuplexStream, duplex};

use super::*;

/// Sends the first text, then one more after each line received. Returns the received lines; the
/// last entry holds everything after the script.
async fn play(stream: DuplexStream, texts: &[&[u8]]) -> Vec<String> {
    let (mut stream, mut received) = (BufReader::new(stream), Vec::new());
    for (number, text) in texts.iter().enumerate() {
        if number > 0 {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap() == 0 {
                return received;
            }
            received.push(line.trim_end().to_owned());
        }
        stream.get_mut().write_all(text).await.unwrap();
    }
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    if !rest.is_empty() {
        received.push(rest);
    }
    received
}

async fn with_relay<T>(
    texts: &[&[u8]],
    is_confidential: bool,
    client: impl AsyncFnOnce(SmtpSession<DuplexStream>) -> T,
) -> (T, Vec<String>) {
    let (ours, theirs) = duplex(1 << 20);
    tokio::join!(client(SmtpSession::new(ours, is_confidential)), play(theirs, texts))
}

async fn up_to_data(session: &mut SmtpSession<DuplexStream>) -> Result<(), SmtpError> {
    session.greeting().await?;
    session.ehlo("us.example").await?;
    session.start_message("a@b.example", &["c@d.example"]).await.map_err(|(_, error)| error)
}

const UP_TO_DATA: [&[u8]; 5] = [
    b"220 relay.example\r\n",
    b"250-relay.example hello\r\n250 SIZE 10\r\n",
    b"250 ok\r\n",
    b"250 ok\r\n",
    b"354 go\r\n",
];

#[tokio::test]
async fn each_step_accepts_only_its_own_code() {
    let dialog = async |texts: &[&[u8]]| {
        with_relay(texts, true, async |mut session| up_to_data(&mut session).await).await
    };
    let (result, received) = dialog(&UP_TO_DATA).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(
        received,
        ["EHLO us.example", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA"]
    );
    for (step, text) in [
        (0, &b"250 hi\r\n"[..]),
        (1, b"220 hi\r\n"),
        (1, b"354 go\r\n"),
        (2, b"354 go\r\n"),
        (3, b"334 x\r\n"),
        (4, b"250 ok\r\n"),
        (4, b"334 x\r\n"),
    ] {
        let mut texts = UP_TO_DATA;
        texts[step] = text;
        let (result, received) = dialog(&texts).await;
        assert!(matches!(result, Err(SmtpError::Unexpected { .. })), "{step}: {result:?}");
        assert_eq!(received.len(), step, "nothing is sent afterwards");
        texts[step] = b"451-4.3.0 later\r\n451 4.3.0 or never\r\n";
        let (result, _) = dialog(&texts).await;
        assert_eq!(result.unwrap_err().to_string(), "451 4.3.0 later 4.3.0 or never", "{step}");
    }
    let mut texts = UP_TO_DATA;
    texts[3] = b"252 cannot verify\r\n";
    assert!(dialog(&texts).await.0.is_ok());
}

const GROUP: &str = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@f.example>\r\n\
                     DATA\r\n";

/// The result of a group of commands to a relay that answers it with these writes and then closes
/// the connection, and what the relay received after the group.
async fn pipelined(
    writes: impl IntoIterator<Item = &[u8]>,
) -> (Result<(), (MessageCommand, SmtpError)>, Vec<u8>) {
    let (ours, mut theirs) = duplex(1 << 20);
    let client = async {
        let mut session = SmtpSession::new(ours, true);
        session.greeting().await.unwrap();
        session.ehlo("us.example").await.unwrap();
        session.start_message("a@b.example", &["c@d.example", "e@f.example"]).await
    };
    let relay = async {
        theirs.write_all(b"220 hi\r\n").await.unwrap();
        let mut hello = [0; "EHLO us.example\r\n".len()];
        theirs.read_exact(&mut hello).await.unwrap();
        theirs.write_all(b"250-relay.example\r\n250 pipelining\r\n").await.unwrap();
        // The whole group arrives before a single reply was sent.
        let mut group = [0; GROUP.len()];
        theirs.read_exact(&mut group).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&group), GROUP);
        for bytes in writes {
            // Fails once the session has ended.
            let _ = theirs.write_all(bytes).await;
            tokio::task::yield_now().await;
        }
        let _ = theirs.shutdown().await;
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.unwrap();
        rest
    };
    tokio::join!(client, relay)
}

#[tokio::test]
async fn each_reply_to_a_group_belongs_to_its_command() {
    use MessageCommand::{Data, Mail, Rcpt};
    let [ok, go, no, later] =
        ["250-2.1.0 well\r\n250 ok\r\n", "354 go\r\n", "550 5.1.1 no\r\n", "421 4.7.0 bye\r\n"];
    for (replies, failed, text) in [
        (vec![ok, ok, ok, go], None, ""),
        (vec![no, "503 no MAIL\r\n", "503\r\n", "503\r\n"], Some(Mail), "550 5.1.1 no"),
        (vec![later], Some(Mail), "421 4.7.0 bye"),
        // The relay takes the other recipient and waits for the message.
        (vec![ok, no, ok, go], Some(Rcpt(0)), "550 5.1.1 no"),
        (vec![ok, ok, no, go], Some(Rcpt(1)), "550 5.1.1 no"),
        (vec![ok, no, no, "554 no valid recipients\r\n"], Some(Rcpt(0)), "550 5.1.1 no"),
        (vec![ok, ok, ok, "451 later\r\n"], Some(Data), "451 later"),
        (vec![ok, ok, later], Some(Rcpt(1)), "421 4.7.0 bye"),
        // One reply too many: DATA accepts 354 only.
        (vec![ok, ok, ok, ok, go], Some(Data), "the relay broke the protocol"),
        (vec![ok, ok, go, go], Some(Rcpt(1)), "the relay broke the protocol"),
        // Closed in the middle.
        (vec![], Some(Mail), "the relay closed the connection"),
        (vec![ok], Some(Rcpt(0)), "the relay closed the connection"),
        (vec![ok, ok, "25"], Some(Rcpt(1)), "the relay closed the connection"),
        (vec![ok, ok, ok], Some(Data), "the relay closed the connection"),
    ] {
        let all = replies.concat().into_bytes();
        let separate: Vec<&[u8]> = replies.iter().map(|reply| reply.as_bytes()).collect();
        for writes in [vec![&all[..]], separate, all.chunks(1).collect()] {
            let (result, rest) = pipelined(writes).await;
            assert_eq!(result.as_ref().err().map(|(command, _)| *command), failed, "{replies:?}");
            if let Err((_, error)) = result {
                assert!(error.to_string().starts_with(text), "{replies:?}: {error}");
            }
            assert!(rest.is_empty(), "{replies:?}: no dot, no other command");
        }
    }
}

#[tokio::test]
async fn only_2xx_after_the_final_dot_accepts_the_message() {
    let dialog = async |answer: &'static [u8]| {
        let texts = [UP_TO_DATA.as_slice(), &[b"", answer]].concat();
        let (result, received) = with_relay(&texts, true, async |mut session| {
            up_to_data(&mut session).await?;
            session.content(b"hi\r\n").await?;
            session.end_of_message().await
        })
        .await;
        assert_eq!(received[4..], ["hi", "."]);
        result
    };
    for accepted in [&b"250 2.0.0 queued\r\n"[..], b"250 \xfcbernommen\0\n", b"251-a\r\n250 b\r\n"]
    {
        assert!(dialog(accepted).await.is_ok());
    }
    for refused in
        [&b"451 later\r\n"[..], b"554 no\r\n", b"250-a\r\n550 b\r\n", b"550-a\r\n250 b\r\n"]
    {
        assert!(matches!(dialog(refused).await, Err(SmtpError::Refused(_))));
    }
    // A relay that closes after a message may send 421 together with the acceptance.
    assert!(dialog(b"250 queued\r\n421 closing\r\n").await.is_ok());
    for neither in [&b"354 go\r\n"[..], b"334 x\r\n", b"250 ok\r\n550 no\r\n"] {
        assert!(matches!(dialog(neither).await, Err(SmtpError::Unexpected { .. })));
    }
    assert!(matches!(dialog(b"queued\r\n").await, Err(SmtpError::Reply(_))));
}

#[tokio::test]
async fn input_before_a_command_is_not_its_reply() {
    for step in 0..UP_TO_DATA.len() {
        let twice = [UP_TO_DATA[step], b"250 2.0.0 queued\r\n"].concat();
        let mut texts = UP_TO_DATA;
        texts[step] = &twice;
        let (result, received) = with_relay(&texts, true, async |mut session| {
            up_to_data(&mut session).await?;
            session.content(b"hi\r\n").await
        })
        .await;
        assert!(
            matches!(&result, Err(SmtpError::Unsolicited(text)) if text == "250 2.0.0 queued"),
            "{result:?}"
        );
        assert_eq!(received.len(), step);
    }
}

#[tokio::test]
async fn an_incomplete_message_may_be_refused_but_not_accepted() {
    for (answer, is_refused) in [(&b"552 too much\r\n"[..], true), (b"250 queued\r\n", false)] {
        let (ours, mut theirs) = duplex(1 << 20);
        let mut session = SmtpSession::new(ours, true);
        // The relay replies while the content is still being written.
        let (result, ()) = tokio::join!(session.content(b"hi\r\n"), async {
            let mut message = [0; 4];
            theirs.read_exact(&mut message).await.unwrap();
            theirs.write_all(answer).await.unwrap();
        });
        // The reply may arrive too late for the first call; then the next one sees it.
        let result = match result {
            Ok(()) => session.content(b"more\r\n").await,
            failed => failed,
        };
        match result {
            Err(SmtpError::Refused(_)) => assert!(is_refused),
            Err(SmtpError::Unexpected { .. } | SmtpError::Unsolicited(_)) => {}
            other => panic!("{other:?}"),
        }
        let mut rest = Vec::new();
        drop(session);
        theirs.read_to_end(&mut rest).await.unwrap();
        assert!(!rest.ends_with(b".\r\n"), "the dot was written");
    }
}

#[tokio::test]
async fn input_after_the_starttls_reply_ends_the_session() {
    let hello = b"250-relay.example\r\n250 StartTLS\r\n".as_slice();
    let dialog = async |answer: &[u8]| {
        with_relay(&[b"220 hi\r\n", hello, answer], true, async |mut session| {
            session.greeting().await?;
            session.ehlo("us.example").await?;
            assert!(session.offers_starttls());
            session.starttls().await.map(drop)
        })
        .await
    };
    let (result, received) =
        dialog(b"220 go\r\n250-x\r\n250 ok\r\n250 2.0.0 queued as FAKE\r\n").await;
    assert!(matches!(result, Err(SmtpError::InjectedBeforeTls)), "{result:?}");
    assert_eq!(received, ["EHLO us.example", "STARTTLS"]);
    assert!(matches!(dialog(b"220 go\r\n\x16").await.0, Err(SmtpError::InjectedBeforeTls)));
    assert!(matches!(dialog(b"250 go\r\n").await.0, Err(SmtpError::Unexpected { .. })));
    assert!(dialog(b"220 go\r\n").await.0.is_ok());
}

#[tokio::test]
async fn a_password_is_sent_only_over_a_confidential_connection() {
    let dialog = async |hello: &'static [u8], answers: &[&[u8]], is_confidential: bool| {
        let texts = [&[b"220 hi\r\n", hello], answers].concat();
        with_relay(&texts, is_confidential, async |mut session| {
            session.greeting().await?;
            session.ehlo("us.example").await?;
            session.auth("me", &"secret".to_owned().into()).await
        })
        .await
    };
    let both = b"250-relay.example\r\n250-AUTH LOGIN plain\r\n250 SIZE\r\n";
    let (result, received) = dialog(both, &[b"235 ok\r\n"], true).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(received[1..], [format!("AUTH PLAIN {}", BASE64_STANDARD.encode("\0me\0secret"))]);

    let login = b"250-relay.example\r\n250 AUTH=LOGIN\r\n";
    let (result, received) =
        dialog(login, &[b"334 VXNlcg==\r\n", b"334 \r\n", b"235 ok\r\n"], true).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(
        received[1..],
        ["AUTH LOGIN".to_owned(), BASE64_STANDARD.encode("me"), BASE64_STANDARD.encode("secret")]
    );

    let (result, received) = dialog(both, &[b"235 ok\r\n"], false).await;
    assert!(matches!(result, Err(SmtpError::Unencrypted)), "{result:?}");
    assert_eq!(received.len(), 1, "{received:?}");
    let (result, _) = dialog(both, &[b"250 ok\r\n"], true).await;
    assert!(matches!(result, Err(SmtpError::Unexpected { .. })), "{result:?}");
    let (result, received) = dialog(b"250 relay.example AUTH PLAIN\r\n", &[], true).await;
    assert!(matches!(result, Err(SmtpError::NoAuth)), "{result:?}");
    assert_eq!(received.len(), 1);
}

#[tokio::test]
async fn a_closed_connection_is_detected_before_a_command() {
    let (ours, theirs) = duplex(1 << 10);
    drop(theirs);
    let mut session = SmtpSession::new(ours, true);
    let started = session.start_message("a@b.example", &["c@d.example"]).await;
    assert!(matches!(started, Err((MessageCommand::Mail, SmtpError::Closed))));
}

#[tokio::test]
async fn an_address_cannot_inject_a_command() {
    for hello in [&b"250 relay.example\r\n"[..], b"250-relay.example\r\n250 PIPELINING\r\n"] {
        let address = "a@b.example>\r\nRCPT TO:<c@d.example";
        let texts: [&[u8]; 3] = [b"220 hi\r\n", hello, b"250 ok\r\n"];
        let (sent, received) = with_relay(&texts, true, async |mut session| {
            session.greeting().await.unwrap();
            session.ehlo("us.example").await.unwrap();
            session.start_message("a@b.example", &[address]).await
        })
        .await;
        let expected = SmtpError::ControlCharacter("RCPT").to_string();
        assert_eq!(sent.map_err(|(_, error)| error.to_string()), Err(expected));
        assert!(!received.concat().contains("RCPT"), "{received:?}");
    }
}
