//! A small HTTP server on the loopback, which can also answer wrongly, slowly and in part, and
//! remembers what it was asked. Shared with the tests of the command.
#![allow(dead_code, reason = "the command's tests use a part of it")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What the server was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: HashMap<String, String>,
    pub headers: HashMap<String, String>,
    pub body: String,
    pub when: Instant,
}

impl Asked {
    /// A parameter of the query; empty where it is not given.
    pub fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }
}

/// What the server answers.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Waits so long between the head and the body.
    pause: Duration,
    /// Sends only so many bytes of the body.
    sent: Option<usize>,
}

impl Reply {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Reply::status(200, body)
    }

    pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Reply {
            status,
            headers: Vec::new(),
            body: body.into(),
            pause: Duration::ZERO,
            sent: None,
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn after(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    pub fn cut(mut self, sent: usize) -> Self {
        self.sent = Some(sent);
        self
    }
}

type Handler = dyn Fn(&Asked, usize) -> Reply + Send + Sync;

/// A running server; it ends when it is dropped.
pub struct Server {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Box<Handler>,
    asked: Mutex<Vec<Asked>>,
    inside: AtomicUsize,
    most_inside: AtomicUsize,
    stop: AtomicBool,
}

impl Server {
    /// A server that answers with `handler`, which is told the question and how many came before.
    pub fn start(handler: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            asked: Mutex::default(),
            inside: AtomicUsize::new(0),
            most_inside: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if served.stop.load(Ordering::SeqCst) {
                    break;
                }
                let served = Arc::clone(&served);
                if let Ok(stream) = stream {
                    thread::spawn(move || served.answer(stream));
                }
            }
        });
        Server { address, shared }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("unpoisoned").clone()
    }

    /// The largest number of questions that were being answered at the same time.
    pub fn most_at_once(&self) -> usize {
        self.shared.most_inside.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address.trim_start_matches("http://"));
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) {
        let Some(asked) = read_question(&stream) else {
            return;
        };
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_inside.fetch_max(inside, Ordering::SeqCst);
        let before = {
            let mut all = self.asked.lock().expect("unpoisoned");
            all.push(asked.clone());
            all.len() - 1
        };
        let reply = (self.handler)(&asked, before);
        let mut head = format!("HTTP/1.1 {} Answer\r\nConnection: close\r\n", reply.status);
        head.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        // The client may have gone: that is its right.
        let _ = stream.write_all(head.as_bytes());
        thread::sleep(reply.pause);
        let sent = reply.sent.unwrap_or(reply.body.len());
        // Before the answer ends, so that a client's next question is never counted beside it.
        self.inside.fetch_sub(1, Ordering::SeqCst);
        let _ = stream.write_all(&reply.body[..sent]);
        let _ = stream.flush();
    }
}

fn read_question(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    lines.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|text| text.parse().ok());
    let mut body = vec![0u8; length.unwrap_or(0)];
    lines.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Some(Asked {
        method,
        path: path.to_owned(),
        query: pairs
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        when: Instant::now(),
    })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
            let digits = String::from_utf8_lossy(&digits).into_owned();
            bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
