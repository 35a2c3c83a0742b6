//! Routing, by the crate `matchit`.

use evy::http::header::ALLOW;
use evy::http::{Body, HeaderValue, Method, Request, StatusCode, StatusError};
use matchit::{InsertError, Params, Router};

use super::{Answer, Site, compression, events, files, form, pages, upload};

/// A page gets the site, the request and the parameters of its route.
type Page = fn(&Site, Request<Body>, &Params<'_, '_>) -> Answer;

/// The routes, each with its method and its page.
pub(crate) type Routes = Router<(Method, Page)>;

/// Returns the routes of the site.
pub(crate) fn routes() -> Result<Routes, InsertError> {
    let mut routes = Routes::new();
    routes.insert("/", (Method::GET, pages::home))?;
    routes.insert("/messages", (Method::POST, form::post))?;
    routes.insert("/messages/{number}", (Method::GET, pages::message))?;
    routes.insert("/upload", (Method::POST, upload::upload))?;
    routes.insert("/events", (Method::GET, events::stream))?;
    routes.insert("/static/{*path}", (Method::GET, files::file))?;
    Ok(routes)
}

/// Answers a request with the page of its route.
pub(crate) fn answer(routes: &Routes, site: &Site, request: Request<Body>) -> Answer {
    let uri = request.uri().clone();
    // The path is matched as it was sent, so an encoded slash separates nothing.
    let Ok(route) = routes.at(uri.path()) else {
        return Err(StatusError::new(StatusCode::NOT_FOUND, "there is no such page\n").into());
    };
    let (method, page) = route.value;
    let is_head = request.method() == Method::HEAD && *method == Method::GET;
    if request.method() != method && !is_head {
        let allow = HeaderValue::from_str(method.as_str())?;
        let mut response = pages::text(format!("use {method}\n"));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, allow);
        return Ok(response);
    }
    let accepts_gzip = compression::accepts_gzip(request.headers());
    let response = page(site, request, &route.params)?;
    Ok(compression::compress(response, accepts_gzip))
}
