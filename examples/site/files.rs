//! Files of a folder, with their types by the crate `mime_guess` and their dates by `httpdate`.

use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use evy::http::header::{CONTENT_TYPE, IF_MODIFIED_SINCE, LAST_MODIFIED, X_CONTENT_TYPE_OPTIONS};
use evy::http::{Body, HeaderValue, Request, Response, StatusCode, StatusError, decoded_path};
use httpdate::HttpDate;
use matchit::Params;

use super::{Answer, Site};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/site/static");

/// Sends a file, unless the client has it already.
pub(crate) fn file(_: &Site, request: Request<Body>, _: &Params<'_, '_>) -> Answer {
    let not_found = || StatusError::new(StatusCode::NOT_FOUND, "there is no such file\n");
    let decoded = decoded_path(request.uri());
    let path = std::str::from_utf8(&decoded).ok();
    let path = path.and_then(|path| path.strip_prefix("/static/"));
    let path = path.and_then(inside).ok_or_else(not_found)?;
    let content_type = content_type(&path);
    // A helper OS thread waits for the disk.
    let opened = evy::unblock(move || File::open(Path::new(FOLDER).join(path)));
    let file = opened.map_err(|_| not_found())?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(not_found().into());
    }

    let modified = HttpDate::from(metadata.modified()?);
    let response = Response::builder()
        .header(CONTENT_TYPE, content_type)
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(LAST_MODIFIED, modified.to_string());
    let known = request.headers().get(IF_MODIFIED_SINCE);
    if known.and_then(date).is_some_and(|known| modified <= known) {
        let response = response.status(StatusCode::NOT_MODIFIED);
        return Ok(response.body(Body::empty())?);
    }
    Ok(response.body(Body::from_file(file)?)?)
}

/// Returns a path below the folder, unless it would leave the folder or name a hidden file.
fn inside(path: &str) -> Option<PathBuf> {
    let is_visible = |part: &Component<'_>| match part {
        Component::Normal(name) => !name.to_string_lossy().starts_with('.'),
        _ => false,
    };
    let path = Path::new(path);
    path.components()
        .all(|part| is_visible(&part))
        .then(|| path.to_owned())
}

fn content_type(path: &Path) -> String {
    let mime = mime_guess::from_path(path).first_or_octet_stream();
    match mime.type_().as_str() {
        "text" => format!("{mime}; charset=utf-8"),
        _ => mime.to_string(),
    }
}

fn date(value: &HeaderValue) -> Option<HttpDate> {
    let time: SystemTime = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    Some(time.into())
}
