//! Addresses with their parameters, and the host of an address.

/// `base?name=value&...`, percent-encoded; joined with `&` where the base has a query already.
pub fn with_query(base: &str, parameters: &[(&str, &str)]) -> String {
    let mut address = base.to_owned();
    let mut separator = if base.contains('?') { '&' } else { '?' };
    for (name, value) in parameters {
        address.push(separator);
        address.push_str(&encoded(name));
        address.push('=');
        address.push_str(&encoded(value));
        separator = '&';
    }
    address
}

/// Everything but the unreserved characters of RFC 3986 as `%XX`.
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Host and port of an address.
pub fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// Whether what is sent there stays secret: encrypted, or this machine itself.
pub fn is_private(address: &str) -> bool {
    let host = host(address);
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    address.starts_with("https://") || matches!(name, Some("localhost" | "127.0.0.1" | "::1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded() {
        let address = with_query("https://a.b/c", &[("q", "a b+c&d=é"), ("n", "1")]);
        assert_eq!(address, "https://a.b/c?q=a%20b%2Bc%26d%3D%C3%A9&n=1");
        assert_eq!(
            with_query("http://a/?x=1", &[("y", "2")]),
            "http://a/?x=1&y=2"
        );
    }

    #[test]
    fn hosts_are_found_and_secrets_kept() {
        assert_eq!(host("https://a.b:8080/c?d"), "a.b:8080");
        assert!(is_private("https://a.b/c"));
        assert!(is_private("http://127.0.0.1:80/c"));
        assert!(is_private("http://[::1]:80/c"));
        assert!(!is_private("http://a.b/c"));
        assert!(!is_private("http://localhost.evil.org/c"));
    }
}
