//! Asking a service: one question, as many polite attempts as it takes, one answer in memory.

use std::fmt;
use std::time::{Duration, SystemTime};

use ureq::http::Response;
use ureq::{Agent, Body, Proxy};

use crate::answer::{self, Answer};
use crate::error::FetchError;
use crate::gate::Gates;
use crate::retry;
use crate::services::Politeness;
use crate::url;

/// Redirections followed; credentials are not sent along to another host.
const MOST_REDIRECTS: u32 = 5;

/// How the services are reached: what the library must not look up by itself.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// User and password, for services that want an account.
    pub credentials: Option<Credentials>,
    /// A proxy's address.
    pub proxy: Option<String>,
}

/// A user's name and password; neither is ever printed, logged or recorded.
#[derive(Clone)]
pub struct Credentials {
    /// The account.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(not shown)")
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The whole address.
    pub address: String,
    /// JSON to post; a plain GET without it.
    pub post: Option<String>,
    /// Sent with the question.
    pub credentials: Option<&'a Credentials>,
}

impl Question<'_> {
    /// A plain GET.
    pub fn get(address: String) -> Self {
        Question {
            address,
            post: None,
            credentials: None,
        }
    }
}

/// A polite client, shared by all threads.
pub struct Client {
    agent: Agent,
    gates: Gates,
    politeness: Politeness,
}

/// What one attempt came to.
enum Attempt {
    Answered(Answer),
    /// Worth trying again, perhaps after the pause that the service asks for.
    Passing(String, Option<Duration>),
    Final(FetchError),
}

impl Client {
    /// A client with these manners.
    ///
    /// # Errors
    /// The proxy's address is none.
    pub fn new(politeness: &Politeness, access: &Access) -> Result<Self, FetchError> {
        let proxy =
            match &access.proxy {
                Some(address) => Some(Proxy::new(address).map_err(|_| {
                    FetchError::Settings("the proxy's address cannot be used".into())
                })?),
                None => None,
            };
        let seconds = |value: f64| Some(Duration::from_secs_f64(value));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(user_agent(&politeness.contact))
            .proxy(proxy)
            .max_redirects(MOST_REDIRECTS)
            .timeout_connect(seconds(politeness.connect_s))
            .timeout_recv_response(seconds(politeness.response_s))
            .timeout_per_call(seconds(politeness.whole_s))
            .build();
        Ok(Client {
            agent: config.new_agent(),
            gates: Gates::new(
                politeness.per_host,
                Duration::from_secs_f64(politeness.interval_s),
            ),
            politeness: politeness.clone(),
        })
    }

    /// Asks until there is an answer, or no hope of one.
    ///
    /// # Errors
    /// [`FetchError::Refused`] or [`FetchError::Credentials`] for an answer that says no;
    /// [`FetchError::GaveUp`] when all attempts failed; [`FetchError::Unexpected`] for an answer
    /// beyond the size limit.
    pub fn ask(&self, question: &Question<'_>) -> Result<Answer, FetchError> {
        let host = url::host(&question.address);
        if question.credentials.is_some() && !url::is_private(&question.address) {
            let reason = format!("{host}: a password is sent over https only");
            return Err(FetchError::Credentials(reason));
        }
        let mut attempt = 1;
        loop {
            let (reason, asked) = match self.attempt(host, question) {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::Final(error) => return Err(error),
                Attempt::Passing(reason, pause) => (reason, pause),
            };
            let gave_up = |reason| FetchError::GaveUp {
                host: host.to_owned(),
                reason,
                attempts: attempt,
            };
            let longest = Duration::from_secs_f64(self.politeness.longest_wait_s);
            if let Some(asked) = asked.filter(|asked| *asked > longest) {
                let wait = asked.as_secs();
                return Err(gave_up(format!("{reason}; it asks to wait {wait} s")));
            }
            if attempt >= self.politeness.attempts {
                return Err(gave_up(reason));
            }
            let pause = retry::pause(&self.politeness, attempt, &question.address);
            match asked {
                // What one question is told holds for the whole host.
                Some(asked) => self.gates.hold(host, asked.max(pause)),
                None => std::thread::sleep(pause),
            }
            attempt += 1;
        }
    }

    fn attempt(&self, host: &str, question: &Question<'_>) -> Attempt {
        let _pass = self.gates.enter(host);
        let sent = match &question.post {
            Some(json) => {
                let request = self.agent.post(&question.address);
                let request = request.content_type("application/json");
                match question.credentials {
                    Some(known) => request.header("Authorization", basic(known)).send(json),
                    None => request.send(json),
                }
            }
            None => {
                let request = self.agent.get(&question.address);
                match question.credentials {
                    Some(known) => request.header("Authorization", basic(known)).call(),
                    None => request.call(),
                }
            }
        };
        match sent {
            Ok(response) => self.receive(host, response),
            Err(error) => failed(host, error),
        }
    }

    fn receive(&self, host: &str, mut response: Response<Body>) -> Attempt {
        let status = response.status().as_u16();
        let header = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let content_type = header("content-type").unwrap_or_default();
        let asked =
            header("retry-after").and_then(|text| retry::asked_for(&text, SystemTime::now()));
        // A compressed body is longer than what was sent.
        let length = match header("content-encoding") {
            None => header("content-length").and_then(|text| text.parse::<u64>().ok()),
            Some(_) => None,
        };
        let most = self.politeness.most_mb << 20;
        let body = match response.body_mut().with_config().limit(most).read_to_vec() {
            Ok(body) => body,
            Err(error) => return failed(host, error),
        };
        if let Some(length) = length.filter(|length| *length != body.len() as u64) {
            let reason = format!("the answer breaks off at {} of {length} bytes", body.len());
            return Attempt::Passing(reason, None);
        }
        let answer = Answer { body, content_type };
        match status {
            200..=299 => Attempt::Answered(answer),
            401 | 403 => Attempt::Final(FetchError::Credentials(format!(
                "{host} answered {status}: {}",
                match status {
                    401 => "it does not know this user and password",
                    _ => "it does not allow this",
                }
            ))),
            status if retry::is_passing(status) => {
                let says = answer::complaint(&answer);
                let colon = if says.is_empty() { "" } else { ": " };
                Attempt::Passing(format!("it answered {status}{colon}{says}"), asked)
            }
            status => Attempt::Final(FetchError::Refused {
                host: host.to_owned(),
                status,
                says: answer::complaint(&answer),
            }),
        }
    }
}

/// What a failure below HTTP means.
fn failed(host: &str, error: ureq::Error) -> Attempt {
    match error {
        ureq::Error::BodyExceedsLimit(limit) => Attempt::Final(FetchError::Unexpected(format!(
            "{host} answered with more than {} MB (politeness.most_mb)",
            limit >> 20
        ))),
        ureq::Error::HostNotFound => Attempt::Final(FetchError::GaveUp {
            host: host.to_owned(),
            reason: "no such host, or no network".into(),
            attempts: 1,
        }),
        ureq::Error::Timeout(_) => Attempt::Passing("no answer in time".into(), None),
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::Protocol(_) => {
            Attempt::Passing(error.to_string(), None)
        }
        error => Attempt::Final(FetchError::Unexpected(format!("{host}: {error}"))),
    }
}

fn user_agent(contact: &str) -> String {
    let (version, home) = (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_REPOSITORY"));
    let contact = match contact {
        "" => String::new(),
        contact => format!("; {contact}"),
    };
    format!("aion/{version} (aion fetch; +{home}{contact})")
}

/// The value of the header `Authorization` (RFC 7617).
fn basic(credentials: &Credentials) -> String {
    let text = format!("{}:{}", credentials.user, credentials.password);
    format!("Basic {}", base64(text.as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) & 63;
            let padding = place > group.len();
            out.push(if padding {
                '='
            } else {
                char::from(DIGITS[digit as usize])
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_standard() {
        // RFC 4648, section 10.
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let credentials = Credentials {
            user: "me".into(),
            password: "secret".into(),
        };
        assert!(!format!("{credentials:?}").contains("secret"));
    }

    #[test]
    fn the_user_agent_names_the_program() {
        assert!(user_agent("a@b.c").starts_with("aion/"));
        assert!(user_agent("a@b.c").ends_with("; a@b.c)"));
    }
}
