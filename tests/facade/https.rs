//! `https` if the feature `tls` is off.

use std::io::ErrorKind;

use evy::http;

#[test]
fn https_without_tls_is_an_error_that_names_the_feature() {
    let listener = evy::listen("127.0.0.1:0").expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    let error = http::get(&format!("https://{addr}/")).expect_err("there is no TLS");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("feature `tls`"), "{error}");
}
