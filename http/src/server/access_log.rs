//! `AccessLog`: one line for each request.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use evy_runtime::lowlevel::{contain_panic, now};
use http::header::{REFERER, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, StatusCode};

use super::peer::Peer;

/// The target of the lines in the `log` facade.
const TARGET: &str = "evy::http::access";

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a server does with the record of each request. It is off by default.
///
/// # Examples
///
/// ```
/// use evy::http::{AccessLog, Server};
///
/// let server = Server::builder()
///     .access_log(AccessLog::custom(|record| {
///         let status = record.status().map_or(0, |status| status.as_u16());
///         println!("{} {status} {:?}", record.line(), record.elapsed());
///     }))
///     .build();
/// ```
#[derive(Clone)]
pub struct AccessLog(Target);

#[derive(Clone)]
enum Target {
    Common,
    Combined,
    Custom(Arc<dyn Fn(&AccessRecord<'_>) + Send + Sync>),
}

impl AccessLog {
    /// Logs lines in the Common Log Format, by the crate `log`, at the level `info`, with the target
    /// `evy::http::access`.
    #[must_use]
    pub const fn common() -> Self {
        Self(Target::Common)
    }

    /// Logs like [`common`](Self::common), in the Combined Log Format, which adds `Referer` and
    /// `User-Agent`.
    #[must_use]
    pub const fn combined() -> Self {
        Self(Target::Combined)
    }

    /// Calls `log` after each request, also if the request was cut off because its client is gone or
    /// the server was stopped. A panic of it affects nothing else.
    #[must_use]
    pub fn custom(log: impl Fn(&AccessRecord<'_>) + Send + Sync + 'static) -> Self {
        Self(Target::Custom(Arc::new(log)))
    }

    pub(super) fn write(&self, record: &AccessRecord<'_>) {
        contain_panic(|| match &self.0 {
            Target::Common => log::info!(target: TARGET, "{}", Line(record, false)),
            Target::Combined => log::info!(target: TARGET, "{}", Line(record, true)),
            Target::Custom(log) => log(record),
        });
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Target::Common => "AccessLog::common",
            Target::Combined => "AccessLog::combined",
            Target::Custom(_) => "AccessLog::custom",
        })
    }
}

/// Whether a peer is a proxy whose `X-Forwarded-For` is believed.
#[derive(Clone)]
pub(super) struct TrustedProxies(pub(super) Arc<dyn Fn(&Peer) -> bool + Send + Sync>);

impl TrustedProxies {
    /// A panic of the callback affects nothing else, and the peer is not trusted.
    pub(super) fn contains(&self, peer: &Peer) -> bool {
        let mut is_trusted = false;
        contain_panic(|| is_trusted = (self.0)(peer));
        is_trusted
    }
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrustedProxies")
    }
}

/// What may be logged of a request, and when it began.
pub(super) struct Begun {
    start: Instant,
    line: Vec<u8>,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    forwarded_for: Option<HeaderValue>,
}

impl Begun {
    /// Begins with a request, or with one that could not be read, and its line.
    pub(super) fn new<B>(request: Option<&Request<B>>, line: Vec<u8>) -> Self {
        let headers = request.map(Request::headers);
        let get = |name| headers.and_then(|headers| headers.get(name)).cloned();
        Self {
            start: now(),
            line,
            referer: get(&REFERER),
            user_agent: get(&USER_AGENT),
            // The last one is from the last proxy.
            forwarded_for: headers
                .and_then(|headers| headers.get_all(&X_FORWARDED_FOR).iter().next_back())
                .cloned(),
        }
    }

    pub(super) fn end<'a>(
        &'a self,
        peer: &'a Peer,
        is_trusted: bool,
        status: Option<StatusCode>,
        bytes: u64,
    ) -> AccessRecord<'a> {
        AccessRecord {
            begun: self,
            peer,
            is_trusted,
            line: String::from_utf8_lossy(&self.line).into_owned(),
            status,
            bytes,
            elapsed: now().saturating_duration_since(self.start),
        }
    }
}

/// The record of one request. Given to the callback of [`AccessLog::custom`].
pub struct AccessRecord<'a> {
    begun: &'a Begun,
    peer: &'a Peer,
    is_trusted: bool,
    line: String,
    status: Option<StatusCode>,
    bytes: u64,
    elapsed: Duration,
}

impl AccessRecord<'_> {
    /// Returns the addresses of the connection.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        self.peer
    }

    /// Returns the request line; empty if it was not read. It is not escaped.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Returns the status of the response; `None` if none was sent.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Returns the number of bytes that were sent after the head.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the time from the end of the request's head to the end of the response.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Returns the address of the client, as the proxy has written it in `X-Forwarded-For`. Returns
    /// `None` unless [`trust_proxies`](super::ServerBuilder::trust_proxies) trusts the peer.
    #[must_use]
    pub fn forwarded_for(&self) -> Option<&str> {
        let value = self
            .begun
            .forwarded_for
            .as_ref()
            .filter(|_| self.is_trusted)?;
        let last = value.to_str().ok()?.rsplit(',').next()?.trim();
        Some(last).filter(|last| !last.is_empty())
    }

    /// Returns the `Referer` of the request.
    #[must_use]
    pub fn referer(&self) -> Option<&HeaderValue> {
        self.begun.referer.as_ref()
    }

    /// Returns the `User-Agent` of the request.
    #[must_use]
    pub fn user_agent(&self) -> Option<&HeaderValue> {
        self.begun.user_agent.as_ref()
    }
}

impl fmt::Debug for AccessRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessRecord")
            .field("peer", self.peer)
            .field("line", &self.line)
            .field("status", &self.status)
            .field("bytes", &self.bytes)
            .field("elapsed", &self.elapsed)
            .finish_non_exhaustive()
    }
}

/// A line of the log; in the Combined Log Format if the flag is set.
struct Line<'a>(&'a AccessRecord<'a>, bool);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(record, is_combined) = self;
        match (record.forwarded_for(), record.peer.addr()) {
            (Some(client), _) => {
                // The field has no quotes, so a space would end it.
                let client = Escaped(client.as_bytes()).to_string();
                f.write_str(&client.replace(' ', "\\x20"))?;
            }
            (None, Some(addr)) => write!(f, "{}", addr.ip())?,
            (None, None) => f.write_char('-')?,
        }
        // "Sun, 06 Nov 1994 08:49:37 GMT"
        let date = httpdate::fmt_http_date(SystemTime::now());
        let (day, month, year, time) = (&date[5..7], &date[8..11], &date[12..16], &date[17..25]);
        write!(f, " - - [{day}/{month}/{year}:{time} +0000] \"")?;
        Escaped(record.line.as_bytes()).fmt(f)?;
        match record.status {
            Some(status) => write!(f, "\" {} {}", status.as_u16(), record.bytes)?,
            None => write!(f, "\" - {}", record.bytes)?,
        }
        if *is_combined {
            for value in [record.referer(), record.user_agent()] {
                let value = value.map_or(&b"-"[..], HeaderValue::as_bytes);
                write!(f, " \"{}\"", Escaped(value))?;
            }
        }
        Ok(())
    }
}

/// Text of a client, which cannot begin a line of its own or end its quotes.
pub(super) struct Escaped<'a>(pub(super) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0 {
            match byte {
                b'"' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Begun, Line, Peer};
    use http::Request;

    #[test]
    fn an_address_from_a_proxy_stays_one_field_of_the_line() {
        let forged = "6.6.6.6 - - [01/Jan/2020:00:00:00 +0000] \"GET /forged HTTP/1.1\" 200 1";
        let request = Request::get("/").header("x-forwarded-for", forged);
        let begun = Begun::new(Some(&request.body(()).unwrap()), b"GET / HTTP/1.1".into());
        let peer = Peer::new(());
        let record = begun.end(&peer, true, None, 0);
        let line = Line(&record, false).to_string();
        let mut fields = line.split(' ');
        assert!(
            fields
                .next()
                .unwrap()
                .starts_with(r"6.6.6.6\x20-\x20-\x20[01/"),
            "{line}"
        );
        assert_eq!(
            (fields.next(), fields.next()),
            (Some("-"), Some("-")),
            "{line}"
        );
        assert_eq!(line.matches(" \"").count(), 1, "{line}");
    }
}
