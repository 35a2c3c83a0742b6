//! hyper on tokio's single-threaded runtime, with a timer as in hyper's own examples.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::idle::{LARGE, LARGE_PATH};

pub(super) fn http(addr: SocketAddr) -> io::Result<()> {
    serve(addr, false)
}

/// Answers to pipelined requests leave together.
pub(super) fn pipelined(addr: SocketAddr) -> io::Result<()> {
    serve(addr, true)
}

fn serve(addr: SocketAddr, pipeline_flush: bool) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(addr).await?;
        super::announce(listener.local_addr()?);
        loop {
            let (client, _) = listener.accept().await?;
            client.set_nodelay(true)?;
            tokio::spawn(async move {
                let connection = http1::Builder::new()
                    .pipeline_flush(pipeline_flush)
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(client), service_fn(answer));
                // An error affects this connection only.
                drop(connection.await);
            });
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = match request.uri().path() {
        LARGE_PATH => Full::new(Bytes::from("x".repeat(LARGE))),
        _ => Full::new(Bytes::from_static(super::TEXT.as_bytes())),
    };
    let response = Response::builder().header("content-type", "text/plain");
    Ok(response.body(body).expect("these headers are valid"))
}
