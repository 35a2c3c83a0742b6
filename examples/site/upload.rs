//! An upload of files, by the async crate `multer`, which runs inside of `evy::block_on`.

use std::convert::Infallible;
use std::fmt::Write;

use evy::http::header::CONTENT_TYPE;
use evy::http::{Body, HeaderValue, Request, StatusCode, StatusError};
use futures_lite::stream;
use matchit::Params;
use multer::Multipart;

use super::{Answer, Site, pages};

const MAX_UPLOAD_BYTES: u64 = 1024 * 1024;

/// Lists the names and sizes of the files that were uploaded.
pub(crate) fn upload(_: &Site, request: Request<Body>, _: &Params<'_, '_>) -> Answer {
    let content_type = request.headers().get(CONTENT_TYPE);
    let content_type = content_type.map_or(b"".as_slice(), HeaderValue::as_bytes);
    let boundary = multer::parse_boundary(String::from_utf8_lossy(content_type))
        .map_err(|error| StatusError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.to_string()))?;
    // The stream that `multer` reads must be `Send`, and a body is not.
    let bytes = request.into_body().limit(MAX_UPLOAD_BYTES).into_bytes()?;
    let stream = stream::once(Ok::<_, Infallible>(bytes));
    let list = evy::block_on(list(Multipart::new(stream, boundary)))
        .map_err(|error| StatusError::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(pages::text(list))
}

async fn list(mut form: Multipart<'_>) -> multer::Result<String> {
    let mut list = String::new();
    while let Some(field) = form.next_field().await? {
        let name = field.file_name().or(field.name()).unwrap_or("-").to_owned();
        let size = field.bytes().await?.len();
        writeln!(list, "{name}: {size} bytes").expect("a string takes any text");
    }
    Ok(list)
}
