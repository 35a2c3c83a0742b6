//! Pages of HTML, and the name that a cookie holds, by the crate `cookie`.

use std::fmt::Write;

use cookie::Cookie;
use evy::http::header::{CONTENT_TYPE, COOKIE};
use evy::http::{Body, HeaderValue, Request, Response, StatusCode, StatusError};
use matchit::Params;

use super::{Answer, Message, Site};

/// Shows all messages, and the form for another one.
pub(crate) fn home(site: &Site, request: Request<Body>, _: &Params<'_, '_>) -> Answer {
    let mut list = String::new();
    for (number, message) in site.messages.borrow().iter().enumerate() {
        write!(list, "<li><a href=/messages/{number}>{number}</a> ")?;
        writeln!(list, "{}</li>", line(message))?;
    }
    let name = escape(&name(&request).unwrap_or_default());
    Ok(html(format!(
        "<!doctype html>
<title>Guest book</title>
<link rel=stylesheet href=/static/style.css>
<script src=/static/live.js defer></script>
<h1>Guest book</h1>
<ol id=messages start=0>
{list}</ol>
<form action=/messages method=post>
<input name=name placeholder=name value=\"{name}\" required>
<input name=text placeholder=message required>
<button>Send</button>
</form>
<form action=/upload method=post enctype=multipart/form-data>
<input type=file name=file multiple required>
<button>Upload</button>
</form>
"
    )))
}

/// Shows the message with the number that the path names.
pub(crate) fn message(site: &Site, _: Request<Body>, params: &Params<'_, '_>) -> Answer {
    let number = params.get("number").and_then(|number| number.parse().ok());
    let messages = site.messages.borrow();
    let Some(message) = number.and_then(|number: usize| messages.get(number)) else {
        return Err(StatusError::new(StatusCode::NOT_FOUND, "there is no such message\n").into());
    };
    let line = line(message);
    Ok(html(format!(
        "<!doctype html>\n<title>Message</title>\n<p>{line}</p>\n"
    )))
}

/// Returns the name that the client's cookie holds.
fn name(request: &Request<Body>) -> Option<String> {
    let values = request.headers().get_all(COOKIE).into_iter();
    let cookies = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(Cookie::split_parse_encoded);
    let mut names = cookies.flatten().filter(|cookie| cookie.name() == "name");
    names.next().map(|cookie| cookie.value().to_owned())
}

fn line(Message { name, text }: &Message) -> String {
    format!("<b>{}</b>: {}", escape(name), escape(text))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

/// Returns a page of HTML.
fn html(page: String) -> Response<Body> {
    typed(page, "text/html; charset=utf-8")
}

/// Returns a page of plain text.
pub(crate) fn text(page: String) -> Response<Body> {
    typed(page, "text/plain; charset=utf-8")
}

fn typed(page: String, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(page.into());
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
