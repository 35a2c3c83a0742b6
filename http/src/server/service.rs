//! `Service`: the exchanges of one connection. Request, handler, response, and again.

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;

use evy_net::Stream;
use evy_runtime::lowlevel::contain_panic;
use evy_runtime::spawn_n;
use http::{Extensions, Request, Response, StatusCode};

use super::access_log::{AccessLog, Begun, TrustedProxies};
use super::connection::{Connection, Fault, is_timeout};
use super::control::Serving;
use super::date_cache::DateCache;
use super::into_response::{IntoResponse, empty_response};
use super::peer::Peer;
use super::registry::{ConnectionGuard, Registry};
use super::report::OnError;
use super::request_body::request_body;
use super::response_head::{HeadOutcome, RequestContext, write_head};
use super::sent::Sent;
use super::settings::Settings;
use super::shared::SharedConnection;
use super::spares::Spares;
use super::status_error::Answer;
use crate::body::{Body, BodyFraming};
use crate::error::ProtocolError;
use crate::upgrade::{UpgradeHandler, Upgraded};

/// What all connections of a server have in common.
pub(super) struct Service<H> {
    pub(super) settings: Settings,
    pub(super) on_error: OnError,
    pub(super) access_log: Option<AccessLog>,
    pub(super) trusted_proxies: Option<TrustedProxies>,
    pub(super) serving: Arc<Serving>,
    pub(super) registry: Rc<Registry>,
    pub(super) dates: DateCache,
    pub(super) spares: Spares,
    pub(super) handler: H,
}

/// What becomes of a connection after a response.
enum Next {
    Request,
    /// The response was the last one.
    Linger,
    Upgrade(UpgradeHandler),
}

impl<H, R> Service<H>
where
    H: Fn(Request<Body>) -> R,
    R: IntoResponse,
{
    /// Serves one connection until either side closes it.
    ///
    /// # Errors
    ///
    /// Returns the error that ended the connection. It does not affect other connections.
    pub(super) fn serve<S: Stream>(
        &self,
        stream: S,
        mut peer: Peer,
        entry: &ConnectionGuard,
    ) -> io::Result<()> {
        let mut connection = Connection::new(stream, &self.settings);
        if let Err(error) = connection.handshake(&self.settings) {
            return Err(self.on_error.report_handshake(&peer, error));
        }
        peer.set_info(connection.stream.stream.info());
        let peer = &peer;
        let mut extensions = Extensions::new();
        extensions.insert(peer.clone());
        let shared = SharedConnection::new(connection);
        let _closing = shared.close_on_drop();
        loop {
            let mut request = Request::new(Body::empty());
            let head = shared.with(|connection| {
                let (settings, spares) = (&self.settings, &self.spares);
                let next = connection.next_request(settings, entry, spares, &mut request)?;
                if next.is_some() {
                    flush_while_handling(&shared, connection);
                    if connection.has_unread_body() {
                        *request.body_mut() = request_body(&shared, connection);
                    }
                }
                Ok(next)
            });
            let next = match head {
                Ok(Some(seen)) => {
                    entry.count_request();
                    let context = RequestContext::of(&request, seen);
                    // To copy them takes less time than to insert into new ones.
                    request.extensions_mut().clone_from(&extensions);
                    let mut log = self.begin_log(&shared, Some(&request), peer);
                    let next = self.exchange(&shared, request, context, &mut log.sent);
                    drop(log);
                    next?
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    let is_broken = shared.with(|connection| Ok(connection.stream.is_broken()))?;
                    let status = status_for(&error).filter(|_| !is_broken).ok_or(error)?;
                    let mut log = self.begin_log(&shared, None, peer);
                    let next = self.refuse(&shared, status, &mut log.sent);
                    drop(log);
                    next?
                }
            };
            match next {
                Next::Request => {}
                Next::Linger => return shared.with(|connection| connection.linger(entry)),
                Next::Upgrade(handler) => return self.hand_over(shared, handler),
            }
        }
    }

    /// Answers one request.
    fn exchange<S: Stream>(
        &self,
        shared: &SharedConnection<S>,
        request: Request<Body>,
        mut context: RequestContext,
        sent: &mut Sent,
    ) -> io::Result<Next> {
        let has_body = !request.body().is_in_memory();
        let response = self.call(request);

        context.keep_alive &= !self.serving.is_stopping() && !self.registry.is_closing();
        if has_body {
            let (fault, can_continue) = shared.with(|connection| {
                if connection.fault.is_some() {
                    return Ok((connection.fault, false));
                }
                // A client that was not sent `100 Continue` may send the body or not. The next bytes
                // could be either the body or a request.
                let can_continue = !connection.expect_continue
                    && (shared.has_body_of(connection.request_number)
                        || connection.can_skip_body());
                Ok((None, can_continue))
            })?;
            if let Some(fault) = fault {
                return self.answer_fault(shared, fault, sent);
            }
            context.keep_alive &= can_continue;
        }
        let mut response = match response {
            Ok(response) => match context.check(&response) {
                Ok(()) => response,
                Err(message) => self.error_response(shared, message.into())?,
            },
            Err(error) => self.error_response(shared, error)?,
        };
        let is_ready = |connection: &mut Connection<S>| {
            Ok(!connection.expect_continue && connection.skip_body())
        };
        if response.body().is_upgrade() && !shared.with(is_ready)? {
            return self.refuse(shared, StatusCode::BAD_REQUEST, sent);
        }
        let next = match response.body().short_bytes() {
            Some(body) => self.send_at_once(shared, &response, body, &context, sent)?,
            None => self.send_in_parts(shared, &mut response, &context, sent)?,
        };
        self.spares.put_headers(mem::take(response.headers_mut()));
        Ok(next)
    }

    /// Calls the handler. A panic is an error like any other.
    fn call(&self, request: Request<Body>) -> Result<Response<Body>, Box<dyn Error + Send + Sync>> {
        let mut outcome = None;
        contain_panic(|| outcome = Some((self.handler)(request).into_response()));
        outcome.unwrap_or_else(|| Err("the handler panicked".into()))
    }

    /// Appends the head of a response to `out`.
    fn begin(
        &self,
        out: &mut Vec<u8>,
        response: &Response<Body>,
        context: &RequestContext,
        sent: &mut Sent,
    ) -> HeadOutcome {
        let start = out.len();
        let head = write_head(out, response, context, &self.settings, &self.dates);
        sent.begin(response.status(), out.len() - start);
        head
    }

    /// Sends a response with a body that needs no part of its own.
    fn send_at_once<S: Stream>(
        &self,
        shared: &SharedConnection<S>,
        response: &Response<Body>,
        body: &[u8],
        context: &RequestContext,
        sent: &mut Sent,
    ) -> io::Result<Next> {
        shared.with(|connection| {
            self.spares.give_output(&mut connection.stream);
            let out = connection.stream.output();
            let start = out.len();
            let head = self.begin(out, response, context, sent);
            if head.framing != BodyFraming::Nothing {
                out.extend_from_slice(body);
            }
            let length = out.len() - start;
            connection.send_last(&[], head.keep_alive)?;
            sent.add(length);
            Ok(next(connection, head.keep_alive))
        })
    }

    /// Sends a response with any body.
    fn send_in_parts<S: Stream>(
        &self,
        shared: &SharedConnection<S>,
        response: &mut Response<Body>,
        context: &RequestContext,
        sent: &mut Sent,
    ) -> io::Result<Next> {
        let mut out = self.spares.output();
        let head = self.begin(&mut out, response, context, sent);
        let body = response.body_mut();
        if let Some(next) = self.send_body(shared, body, head.framing, &mut out, sent)? {
            return Ok(next);
        }
        let upgrade = mem::take(body).into_upgrade();
        let keep_alive = head.keep_alive && upgrade.is_none();
        let result = shared.with(|connection| {
            connection.send_last(&out, keep_alive)?;
            sent.add(out.len());
            Ok(match upgrade {
                Some(handler) => Next::Upgrade(handler),
                None => next(connection, keep_alive),
            })
        });
        self.spares.put_output(out);
        result
    }

    /// Sends the head and the body, except for the last part. Returns what comes next if that
    /// failed before any part was sent.
    fn send_body<S: Stream>(
        &self,
        shared: &SharedConnection<S>,
        body: &mut Body,
        framing: BodyFraming,
        out: &mut Vec<u8>,
        sent: &mut Sent,
    ) -> io::Result<Option<Next>> {
        let (is_started, is_lost) = (Cell::new(false), Cell::new(false));
        let mut outcome = None;
        contain_panic(|| {
            outcome = Some(body.send_all_but_last(out, framing, |bytes| {
                is_started.set(true);
                if is_lost.replace(true) {
                    return Err(io::Error::other("a part of the body was lost"));
                }
                shared.with(|connection| {
                    // If this unwinds, the connection keeps what is left.
                    is_lost.set(false);
                    let result = connection.send_part(bytes);
                    is_lost.set(result.is_err());
                    sent.add(bytes.len());
                    result
                })
            }));
        });
        let result = outcome.unwrap_or_else(|| Err(io::Error::other("the body panicked")));
        let error = match result {
            Ok(()) if is_lost.get() => io::ErrorKind::ConnectionAborted.into(),
            Ok(()) => return Ok(None),
            Err(error) => error,
        };
        let fault = shared.with(|connection| Ok(connection.fault))?;
        match fault {
            Some(fault) if !is_started.get() => self.answer_fault(shared, fault, sent).map(Some),
            // The client is to blame, or is gone.
            Some(_) => Err(error),
            None if is_lost.get() => Err(error),
            None if is_started.get() => {
                let kind = error.kind();
                self.report(shared, error.into())?;
                Err(kind.into())
            }
            None => {
                self.report(shared, error.into())?;
                self.refuse(shared, StatusCode::INTERNAL_SERVER_ERROR, sent)
                    .map(Some)
            }
        }
    }

    /// Returns a guard that logs a request when it is dropped.
    fn begin_log<'a, S: Stream>(
        &'a self,
        shared: &SharedConnection<S>,
        request: Option<&Request<Body>>,
        peer: &'a Peer,
    ) -> LogGuard<'a, H> {
        let begun = self.access_log.as_ref().map(|_| {
            let line = shared.with(|connection| Ok(connection.line.clone()));
            Begun::new(request, line.unwrap_or_default())
        });
        LogGuard {
            service: self,
            peer,
            begun,
            sent: Sent::default(),
        }
    }

    fn report<S: Stream>(
        &self,
        shared: &SharedConnection<S>,
        error: Box<dyn Error + Send + Sync>,
    ) -> io::Result<()> {
        let line = shared.with(|connection| Ok(connection.line.clone()))?;
        self.on_error.report_request(&line, error);
        Ok(())
    }

    /// Reports the error of the handler, unless it is the client's fault, and returns the response
    /// to it.
    #[cold]
    fn error_response<S: Stream>(
        &self,
        shared: &SharedConnection<S>,
        error: Box<dyn Error + Send + Sync>,
    ) -> io::Result<Response<Body>> {
        let known = Answer::find(&*error).filter(|known| !known.status().is_informational());
        let response = known.map(Answer::response);
        if response
            .as_ref()
            .is_none_or(|response| response.status().is_server_error())
        {
            self.report(shared, error)?;
        }
        Ok(response.unwrap_or_else(|| empty_response(StatusCode::INTERNAL_SERVER_ERROR)))
    }

    fn answer_fault<S: Stream>(
        &self,
        shared: &SharedConnection<S>,
        fault: Fault,
        sent: &mut Sent,
    ) -> io::Result<Next> {
        match fault {
            Fault::Answer(error) => self.refuse(shared, error.status, sent),
            Fault::Gone => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    /// Sends a last response, without a body.
    #[cold]
    #[inline(never)]
    fn refuse<S: Stream>(
        &self,
        shared: &SharedConnection<S>,
        status: StatusCode,
        sent: &mut Sent,
    ) -> io::Result<Next> {
        shared.with(|connection| {
            connection.restart_deadlines(&self.settings);
            Ok(())
        })?;
        let response = empty_response(status);
        self.send_at_once(shared, &response, &[], &RequestContext::UNKNOWN, sent)
    }

    /// Gives the connection to the handler of an upgrade.
    fn hand_over<S: Stream>(
        &self,
        shared: SharedConnection<S>,
        handler: UpgradeHandler,
    ) -> io::Result<()> {
        let connection = shared.into_connection()?;
        let line = connection.line;
        let (stream, read_ahead) = connection.stream.into_parts();
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        let mut has_returned = false;
        contain_panic(|| {
            handler(Upgraded::new(stream, read_ahead));
            has_returned = true;
        });
        if !has_returned {
            let error = "the handler of the upgrade panicked";
            self.on_error.report_request(&line, error.into());
        }
        Ok(())
    }
}

/// Logs a request when it is dropped, so that one whose green thread is killed is logged too.
struct LogGuard<'a, H> {
    service: &'a Service<H>,
    peer: &'a Peer,
    begun: Option<Begun>,
    sent: Sent,
}

impl<H> Drop for LogGuard<'_, H> {
    fn drop(&mut self) {
        let (Some(begun), Some(log)) = (&self.begun, &self.service.access_log) else {
            return;
        };
        let trusted = self.service.trusted_proxies.as_ref();
        let is_trusted = trusted.is_some_and(|trusted| trusted.contains(self.peer));
        let (status, bytes) = (self.sent.status(), self.sent.body());
        log.write(&begun.end(self.peer, is_trusted, status, bytes));
    }
}

/// Returns what comes after a response that was sent.
fn next<S: Stream>(connection: &mut Connection<S>, keep_alive: bool) -> Next {
    match keep_alive && connection.skip_body() {
        true => Next::Request,
        false => Next::Linger,
    }
}

/// Sends answers that wait to leave together as soon as the handler of the next request parks.
fn flush_while_handling<S: Stream>(shared: &SharedConnection<S>, connection: &mut Connection<S>) {
    if connection.stream.queued() == 0 || connection.has_flusher {
        return;
    }
    connection.has_flusher = true;
    let shared = shared.clone();
    spawn_n(move || {
        // If that fails, the connection's own green thread fails to send what is left.
        let flushed = shared.with(|connection| {
            connection.has_flusher = false;
            connection.stream.flush()
        });
        flushed.ok();
    });
}

/// Returns the status that answers a request which could not be read, if it is to be answered.
fn status_for(error: &io::Error) -> Option<StatusCode> {
    match ProtocolError::of(error) {
        Some(error) => Some(error.status),
        None if is_timeout(error) => Some(StatusCode::REQUEST_TIMEOUT),
        None => None,
    }
}
