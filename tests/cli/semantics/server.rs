//! A chat endpoint on this machine that answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub authorization: Option<String>,
    pub body: Value,
}

impl Request {
    /// The question.
    pub fn question(&self) -> String {
        self.body["messages"][1]["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// A reply that fits the schema in the question.
    pub fn good(&self) -> String {
        let question = self.question();
        let fill = |names: &[&str]| -> Value {
            names
                .iter()
                .map(|n| ((*n).to_owned(), json!(format!("{n} moves"))))
                .collect()
        };
        let value = if question.contains("\"gamma\"") {
            json!({"spatial": [0.1, 0.2, 0.3, 0.4], "temporal": [0.3, 0.4, 0.3], "gamma": 0.25})
        } else if question.contains("\"spatial_cg\"") {
            let ten = |w: &str| (0..10).map(|i| json!(format!("{w} {i}."))).collect::<Value>();
            let names = [
                "spatial_cg",
                "spatial_mg",
                "spatial_fg",
                "temporal_fp",
                "temporal_sp",
                "temporal_tp",
            ];
            names.iter().map(|n| ((*n).to_owned(), ten(n))).collect()
        } else if question.contains("\"hip\"") {
            fill(&["head", "hand", "arm", "hip", "leg", "foot"])
        } else if question.contains("\"torso\"") {
            fill(&["head", "hands", "torso", "legs"])
        } else if question.contains("\"middle\"") {
            fill(&["start", "middle", "end"])
        } else if question.contains("\"verb\"") {
            json!({"verb": "move", "noun": null})
        } else {
            json!({"global": "moves about"})
        };
        value.to_string()
    }
}

/// What comes back.
pub struct Answer {
    pub status: u16,
    pub headers: &'static str,
    pub body: String,
    /// Before anything is sent.
    pub after: Duration,
}

/// A reply of the model, in the form of the protocol.
pub fn reply(content: &str) -> Answer {
    let body =
        json!({"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]});
    status(200, &body.to_string())
}

/// A status with a body.
pub fn status(status: u16, body: &str) -> Answer {
    Answer {
        status,
        headers: "",
        body: body.to_owned(),
        after: Duration::ZERO,
    }
}

/// A running endpoint; it ends with the test.
pub struct Server {
    pub url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Starts one; `answer` is given the number of a request, from 0, and the request.
    pub fn start(answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (seen_here, answer) = (Arc::clone(&seen), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen_here), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    let number = {
                        let mut seen = seen.lock().expect("the list");
                        seen.push(request.clone());
                        seen.len() - 1
                    };
                    send(&stream, &answer(number, &request));
                });
            }
        });
        Self { url, seen }
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("the list").clone()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).ok()?;
    Some(Request {
        line: line.trim().to_owned(),
        authorization,
        body,
    })
}

fn send(mut stream: &TcpStream, answer: &Answer) {
    std::thread::sleep(answer.after);
    let (status, headers, length) = (answer.status, answer.headers, answer.body.len());
    let head =
        format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
    let _ = stream.write_all((head + &answer.body).as_bytes());
}
