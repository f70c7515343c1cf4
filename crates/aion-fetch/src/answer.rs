//! What a service answered, and what it says where that is not what was asked for: a page, a VOTable
//! or JSON with an error message.

use std::str;

use serde_json::Value;

use crate::error::FetchError;

/// The longest part of a message that is passed on, characters.
const LONGEST: usize = 200;

/// An answer with a good status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The content.
    pub body: Vec<u8>,
    /// What the service calls it.
    pub content_type: String,
}

impl Answer {
    /// The content, which must be FITS.
    ///
    /// # Errors
    /// [`FetchError::Unexpected`] with what it is instead.
    pub fn fits(self) -> Result<Vec<u8>, FetchError> {
        if self.body.starts_with(b"SIMPLE  =") || self.body.starts_with(&[0x1f, 0x8b]) {
            return Ok(self.body);
        }
        Err(self.is_not("a FITS file"))
    }

    /// The content as text with a table, which must not be a page or a message.
    ///
    /// # Errors
    /// [`FetchError::Unexpected`] with what it is instead.
    pub fn csv(&self) -> Result<&str, FetchError> {
        match str::from_utf8(&self.body) {
            Ok(text) if !text.trim_start().starts_with(['<', '{', '[']) => Ok(text),
            _ => Err(self.is_not("a CSV table")),
        }
    }

    /// The content as JSON.
    ///
    /// # Errors
    /// [`FetchError::Unexpected`] with what it is instead.
    pub fn json(&self) -> Result<Value, FetchError> {
        serde_json::from_slice(&self.body).map_err(|_| self.is_not("JSON"))
    }

    /// The error of an answer that is not what was wanted.
    pub fn is_not(&self, wanted: &str) -> FetchError {
        let kind = match kind(&self.body) {
            "" => self.content_type.as_str(),
            kind => kind,
        };
        let kind = if kind.is_empty() {
            "something else"
        } else {
            kind
        };
        let says = match complaint(self) {
            says if says.is_empty() => String::new(),
            says => format!(", which says: {says}"),
        };
        let bytes = self.body.len();
        FetchError::Unexpected(format!(
            "asked for {wanted}, got {kind} ({bytes} bytes){says}"
        ))
    }
}

/// What the content is, as far as its beginning shows.
fn kind(body: &[u8]) -> &'static str {
    let start = String::from_utf8_lossy(&body[..body.len().min(512)]).to_lowercase();
    let start = start.trim_start();
    if body.is_empty() {
        "nothing"
    } else if start.starts_with("<!doctype html") || start.starts_with("<html") {
        "an HTML page"
    } else if start.contains("<votable") {
        "a VOTable"
    } else if start.starts_with("simple  =") {
        "a FITS file"
    } else if start.starts_with(['{', '[']) {
        "JSON"
    } else {
        ""
    }
}

/// What an answer says in words; empty where it says nothing readable. One line.
pub fn complaint(answer: &Answer) -> String {
    let Ok(text) = str::from_utf8(&answer.body) else {
        return String::new();
    };
    if text.contains('\0') || text.starts_with("SIMPLE  =") {
        return String::new();
    }
    let message = message_in_json(text)
        .or_else(|| between(text, "value=\"ERROR\">", "<"))
        .or_else(|| between(text, "<title>", "</title>"))
        .or_else(|| between(text, "<TITLE>", "</TITLE>"));
    one_line(&message.unwrap_or_else(|| text.to_owned()))
}

/// SPARCL's `errorMessage`, Django's `detail`, SkyServer's `ErrorMessage` or `Message`.
fn message_in_json(text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    let object = value.as_object()?;
    let names = [
        "errorMessage",
        "detail",
        "ErrorMessage",
        "Message",
        "message",
    ];
    let message = names.iter().find_map(|name| object.get(*name)?.as_str())?;
    Some(message.to_owned())
}

fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let (_, rest) = text.split_once(start)?;
    let (inside, _) = rest.split_once(end)?;
    let inside = inside.trim();
    let inside = inside.strip_prefix("<![CDATA[").unwrap_or(inside);
    Some(inside.to_owned()).filter(|inside| !inside.is_empty())
}

/// The text in one line, without control characters, cut where it is long.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        Answer {
            body: body.as_bytes().to_vec(),
            content_type: "text/html".into(),
        }
    }

    #[test]
    fn messages_are_found_in_what_services_send() {
        let votable = "<?xml version=\"1.0\"?><VOTABLE><RESOURCE>\
                       <INFO name=\"QUERY_STATUS\" value=\"ERROR\">Unknown column 'x'</INFO>";
        for (body, expected) in [
            (votable, "Unknown column 'x'"),
            (
                "<html><head><title> Down for\nmaintenance</title>",
                "Down for maintenance",
            ),
            (
                "{\"errorMessage\": \"bad field\", \"errorCode\": \"X\"}",
                "bad field",
            ),
            ("too\r\n busy", "too busy"),
            ("", ""),
        ] {
            assert_eq!(complaint(&answer(body)), expected);
        }
        let long = "é".repeat(1000);
        assert_eq!(complaint(&answer(&long)).chars().count(), LONGEST + 3);
    }

    #[test]
    fn what_is_not_wanted_is_named() {
        let page = answer("<!DOCTYPE html><title>Log in</title>");
        let message = page.clone().fits().expect_err("refused").to_string();
        assert!(
            message.contains("FITS") && message.contains("HTML"),
            "{message}"
        );
        assert!(message.contains("Log in"), "{message}");
        assert!(page.csv().is_err() && page.json().is_err());
        assert!(
            answer("")
                .fits()
                .expect_err("refused")
                .to_string()
                .contains("nothing")
        );
        assert_eq!(answer("a,b\n1,2\n").csv().ok(), Some("a,b\n1,2\n"));
    }
}
