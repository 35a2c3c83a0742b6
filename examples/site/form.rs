//! A form, by the crate `form_urlencoded`, and a cookie that holds a name, by the crate `cookie`.

use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use evy::http::header::{CONTENT_TYPE, LOCATION, SET_COOKIE};
use evy::http::{Body, Request, Response, StatusCode, StatusError};
use matchit::Params;

use super::{Answer, Message, Site};

const MAX_FORM_BYTES: u64 = 16 * 1024;

/// Adds a message, and sends the client back to the home page.
pub(crate) fn post(site: &Site, request: Request<Body>, _: &Params<'_, '_>) -> Answer {
    let content_type = request.headers().get(CONTENT_TYPE);
    if content_type.is_none_or(|value| value != "application/x-www-form-urlencoded") {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(StatusError::new(status, "send a form\n").into());
    }
    // A longer form is answered with 413, whatever this returns.
    let form = request.into_body().limit(MAX_FORM_BYTES).into_bytes()?;
    let field = |name: &str| {
        let found = form_urlencoded::parse(&form).find(|(field, _)| field == name);
        let value = found.map(|(_, value)| value.trim().to_owned());
        value.filter(|value| !value.is_empty()).ok_or_else(|| {
            StatusError::new(StatusCode::BAD_REQUEST, format!("`{name}` is missing\n"))
        })
    };
    let (name, text) = (field("name")?, field("text")?);

    let cookie = Cookie::build(("name", name.clone()))
        .path("/")
        .max_age(Duration::days(30))
        .http_only(true)
        .same_site(SameSite::Lax);
    let response = Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(LOCATION, "/")
        .header(SET_COOKIE, cookie.build().encoded().to_string())
        .body(Body::empty())?;
    site.events.send(&format!("{name}: {text}"));
    site.messages.borrow_mut().push(Message { name, text });
    Ok(response)
}
