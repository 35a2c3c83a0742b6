//! The head of a response, and how its body is framed.

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, SERVER, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};

use super::date_cache::DateCache;
use super::settings::Settings;
use crate::body::{Body, BodyFraming};
use crate::head::{self, HeadersSeen, connection_says, content_length};

/// The properties of a request that determine how its response is framed.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestContext {
    is_head: bool,
    is_connect: bool,
    asks_for_upgrade: bool,
    /// Whether the client named `keep-alive`, so that it wants to know the timeout.
    names_keep_alive: bool,
    version: Version,
    pub(super) keep_alive: bool,
}

impl RequestContext {
    /// The context of a response to a request that could not be read.
    pub(super) const UNKNOWN: Self = Self {
        is_head: false,
        is_connect: false,
        asks_for_upgrade: false,
        names_keep_alive: false,
        version: Version::HTTP_11,
        keep_alive: false,
    };

    pub(super) fn of(request: &Request<Body>, seen: HeadersSeen) -> Self {
        let (version, headers) = (request.version(), request.headers());
        let mut context = Self {
            is_head: request.method() == Method::HEAD,
            is_connect: request.method() == Method::CONNECT,
            version,
            keep_alive: version == Version::HTTP_11,
            ..Self::UNKNOWN
        };
        if seen.connection {
            context.keep_alive = head::keeps_alive(headers, version);
            context.names_keep_alive = connection_says(headers, "keep-alive");
            context.asks_for_upgrade = version == Version::HTTP_11
                && headers.contains_key(UPGRADE)
                && connection_says(headers, "upgrade");
        }
        // If it is refused, what follows may be meant for the tunnel, and is no request.
        context.keep_alive &= !context.is_connect;
        context
    }

    /// Returns what is wrong with the status of a response.
    pub(super) fn check(&self, response: &Response<Body>) -> Result<(), &'static str> {
        let status = response.status();
        let is_switch = status == StatusCode::SWITCHING_PROTOCOLS;
        let is_tunnel = self.is_connect && status.is_success();
        match response.body().is_upgrade() {
            true if is_switch && self.asks_for_upgrade => Ok(()),
            true if is_tunnel => Ok(()),
            true if is_switch => Err("an upgrade of a request that does not ask for one"),
            true => Err("an upgrade without the status 101, or 2xx for CONNECT"),
            false if is_switch => Err("the status 101 without an upgrade"),
            false if is_tunnel => Err("a success of CONNECT without an upgrade"),
            false if status.is_informational() => Err("the status of a handler must be final"),
            false => Ok(()),
        }
    }
}

/// What follows the head of a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadOutcome {
    pub(super) keep_alive: bool,
    pub(super) framing: BodyFraming,
}

/// Appends the head of a response to `out`.
pub(super) fn write_head(
    out: &mut Vec<u8>,
    response: &Response<Body>,
    context: &RequestContext,
    settings: &Settings,
    dates: &DateCache,
) -> HeadOutcome {
    let (status, headers) = (response.status(), response.headers());
    let seen = Seen::of(headers);
    let is_upgrade = response.body().is_upgrade();
    let framing = if is_upgrade {
        BodyFraming::Nothing
    } else {
        framing(response, context, seen.length)
    };
    let keep_alive = context.keep_alive
        && !settings.idle_timeout.is_zero()
        && (!seen.connection || head::keeps_alive(headers, Version::HTTP_11))
        && (framing != BodyFraming::Close || context.is_head);

    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if !seen.date {
        out.extend_from_slice(&dates.line());
    }
    if let Some(server) = &settings.server_header
        && !seen.server
    {
        out.extend_from_slice(b"server: ");
        out.extend_from_slice(server.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    framing.write_header(out);
    match (keep_alive, context.version) {
        _ if is_upgrade && context.is_connect => {}
        _ if is_upgrade => out.extend_from_slice(b"connection: upgrade\r\n"),
        (false, _) => out.extend_from_slice(b"connection: close\r\n"),
        (true, Version::HTTP_10) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (true, _) => {}
    }
    if keep_alive && context.names_keep_alive && !is_upgrade {
        let seconds = settings.idle_timeout.as_secs();
        out.extend_from_slice(format!("keep-alive: timeout={seconds}\r\n").as_bytes());
    }
    head::write_headers(out, headers);
    out.extend_from_slice(b"\r\n");
    let framing = match framing {
        BodyFraming::Length(0) => BodyFraming::Nothing,
        _ if context.is_head => BodyFraming::Nothing,
        framing => framing,
    };
    HeadOutcome {
        keep_alive,
        framing,
    }
}

/// Which of the headers that the server acts on a response has. One pass costs less than a search
/// for each.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    connection: bool,
    date: bool,
    length: bool,
    server: bool,
}

impl Seen {
    fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for name in headers.keys() {
            seen.connection |= *name == CONNECTION;
            seen.date |= *name == DATE;
            seen.length |= *name == CONTENT_LENGTH;
            seen.server |= *name == SERVER;
        }
        seen
    }
}

fn framing(response: &Response<Body>, context: &RequestContext, has_length: bool) -> BodyFraming {
    let declared = match has_length {
        true => content_length(response.headers()).ok().flatten(),
        false => None,
    };
    let length = match response.body().length() {
        Some(0) if context.is_head => declared.or(Some(0)),
        length => length.or(declared),
    };
    match length {
        _ if matches!(
            response.status(),
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        ) =>
        {
            BodyFraming::Nothing
        }
        // Such a response has no body either, but its framing says so (RFC 9110, 15.3.6).
        _ if response.status() == StatusCode::RESET_CONTENT => BodyFraming::Length(0),
        Some(length) => BodyFraming::Length(length),
        None if context.version == Version::HTTP_11 => BodyFraming::Chunked,
        None => BodyFraming::Close,
    }
}
