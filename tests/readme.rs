//! The programs of the README, built and run exactly as they stand there, against servers of this
//! test.

#![cfg(all(feature = "http", feature = "pool"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use evy::http::header::LOCATION;
use evy::http::{self, Body, Client, Request, Response, StatusCode};
use evy::process::{Child, Command};
use evy_test_support::{is_emulated, within};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

/// The folder of the executables.
static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(build);

/// An issuer, and the chain and the key that it has issued for this machine, in PEM format.
static CERTIFICATES: LazyLock<[String; 3]> = LazyLock::new(|| {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let chain = params.signed_by(&key, &issuer).unwrap();
    [issuer.pem(), chain.pem(), key.serialize_pem()]
});

/// Writes a package with the README's programs, which are `client`, `server`, `dispatcher` and
/// `workers`, and builds it outside of this workspace.
fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    fs::create_dir_all(folder.join("src/bin")).unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let blocks = readme.split("```rust,no_run\n").skip(1);
    let programs: Vec<_> = blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let names = ["client", "server", "dispatcher", "workers"];
    assert_eq!(programs.len(), names.len(), "the README has four programs");
    for (name, program) in names.iter().zip(programs) {
        fs::write(folder.join(format!("src/bin/{name}.rs")), program).unwrap();
    }
    let portable = match cfg!(evy_context = "corosensei") {
        true => ", \"portable\"",
        false => "",
    };
    let manifest = format!(
        "[package]\nname = \"readme\"\nedition = \"2024\"\n\n[workspace]\n\n[profile.dev]\n\
         debug = false\n\n[dependencies]\nfeed-rs = \"3\"\n\
         evy = {{ path = {root:?}, features = [\"tls\"{portable}] }}\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    // Selects the versions that this workspace was built with, which are on the machine already.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = std::process::Command::new(cargo)
        .args(["build", "--quiet", "--offline", "--target-dir", "target"])
        .current_dir(&folder)
        .env_remove("RUSTFLAGS")
        .status();
    assert!(
        built.unwrap().success(),
        "the README's programs do not build"
    );
    folder.join("target/debug")
}

/// Runs a test with the README's programs, unless the tests are emulated and nothing can be built.
fn with_programs(test: impl FnOnce() + Send + 'static) {
    if is_emulated() {
        return;
    }
    LazyLock::force(&PROGRAMS);
    within(|| {
        test();
        evy::shutdown(Duration::ZERO);
    });
}

/// Returns a command for a program, which trusts the issuer of the tests.
fn program(name: &str) -> Command {
    let roots = PROGRAMS.join(format!("{}.pem", std::process::id()));
    fs::write(&roots, &CERTIFICATES[0]).unwrap();
    let mut command = Command::new(PROGRAMS.join(name));
    command.env("SSL_CERT_FILE", roots);
    command
}

/// A server that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts a server and returns its address, which is the last word of its first line.
fn start(name: &str) -> (Running, String) {
    let mut command = program(name);
    let mut child = command
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = child.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    let addr = line.trim().rsplit(' ').next().unwrap().to_owned();
    (Running(child), addr)
}

/// A site with this text at `/feed/N` and at other paths, after a delay. Returns the URLs of its
/// root without and with TLS.
fn site(page: fn(&str) -> Response<String>) -> [String; 2] {
    let listener = evy::listen("127.0.0.1:0").unwrap();
    let tls = evy::listen("127.0.0.1:0").unwrap();
    let urls = [
        format!("http://{}", listener.local_addr().unwrap()),
        format!("https://localhost:{}", tls.local_addr().unwrap().port()),
    ];
    let acceptor = evy_tls::Acceptor::from_pem(&CERTIFICATES[1], &CERTIFICATES[2]).unwrap();
    let handler = move |request: Request<Body>| {
        evy::sleep(Duration::from_millis(300));
        page(request.uri().path())
    };
    evy::spawn_n(move || http::serve(listener, handler).unwrap());
    let tls = evy_tls::Listener::new(tls, acceptor);
    evy::spawn_n(move || http::serve(tls, handler).unwrap());
    urls
}

#[test]
fn the_client_prints_the_size_of_each_page_in_order_or_its_error() {
    with_programs(|| {
        let [plain, tls] = site(|path| {
            let mut response = Response::new(path.to_owned());
            match path {
                "/missing" => *response.status_mut() = StatusCode::NOT_FOUND,
                "/moved" => {
                    *response.status_mut() = StatusCode::FOUND;
                    response
                        .headers_mut()
                        .insert(LOCATION, "/new".parse().unwrap());
                }
                _ => {}
            }
            response
        });
        let urls = [
            format!("{tls}/intl/en_ALL/images/logo.gif"),
            format!("{plain}/missing"),
            "http://127.0.0.1:1/".to_owned(),
            format!("{plain}/w/images/secondlife.jpg"),
            "no url".to_owned(),
            format!("{tls}/missing"),
            format!("{tls}/moved"),
        ];
        let output = program("client").args(&urls).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let results: Vec<_> = urls
            .iter()
            .zip(&lines)
            .map(|(url, line)| line.strip_prefix(&format!("{url}: ")).unwrap())
            .collect();
        assert_eq!(results.len(), lines.len(), "{text}");
        assert_eq!([results[0], results[3]], ["got body 28", "got body 24"]);
        assert!(
            results[1].contains("404") && results[5].contains("404"),
            "{text}"
        );
        assert!(results[2].contains("refused"), "{text}");
        assert!(!results[4].contains("got body"), "{text}");
        assert_eq!(results[6], "got body 4");
    });
}

#[test]
fn the_client_fetches_many_pages_in_about_the_time_of_one() {
    with_programs(|| {
        let [plain, tls] = site(|path| Response::new(path.to_owned()));
        let urls = (0..40).map(|n| format!("{}/{n}", if n % 2 == 0 { &plain } else { &tls }));
        let start = Instant::now();
        let output = program("client").args(urls).output().unwrap();
        assert!(start.elapsed() < Duration::from_secs(8));
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.matches(": got body ").count(), 40, "{text}");
    });
}

#[test]
fn the_server_sends_back_what_each_of_its_clients_sends() {
    with_programs(|| {
        let (_server, addr) = start("server");
        let mut clients: Vec<_> = (0..100).map(|_| evy::connect(&addr).unwrap()).collect();
        for (n, client) in clients.iter_mut().enumerate().rev() {
            client
                .write_all(format!("hello {n:03}").as_bytes())
                .unwrap();
        }
        for (n, client) in clients.iter_mut().enumerate() {
            let mut back = [0; 9];
            client.read_exact(&mut back).unwrap();
            assert_eq!(back, *format!("hello {n:03}").as_bytes());
        }
    });
}

/// A feed in RSS, or in Atom if its number is odd.
fn feed(path: &str) -> Response<String> {
    let number: usize = match path.strip_prefix("/feed/").map(str::parse) {
        Some(Ok(number)) => number,
        _ => return Response::new("no feed".to_owned()),
    };
    let feed = match number % 2 {
        0 => format!(
            "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>\n Cats &amp; dogs {number}\
             </title><link>http://localhost/</link><description>a feed</description></channel></rss>"
        ),
        _ => format!(
            "<?xml version=\"1.0\"?><feed xmlns=\"http://www.w3.org/2005/Atom\"><title>Feed \
             {number}</title><id>urn:{number}</id><updated>2024-01-01T00:00:00Z</updated></feed>"
        ),
    };
    Response::new(feed)
}

/// Sends URLs to the dispatcher, and returns the type and the lines of its answer.
fn ask(addr: &str, urls: &[String]) -> (String, Vec<String>) {
    let request = Request::post(format!("http://{addr}/")).body(urls.join("\n"));
    let response = Client::new().request(request.unwrap()).unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let kind = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let text = response.into_body().into_text().unwrap();
    (kind, text.lines().map(str::to_owned).collect())
}

#[test]
fn the_dispatcher_answers_with_the_titles_of_feeds_in_order_or_their_errors() {
    with_programs(|| {
        let (_server, addr) = start("dispatcher");
        let [plain, tls] = site(feed);
        let urls = [
            format!("{plain}/feed/0"),
            format!("{tls}/feed/1"),
            format!("{plain}/other"),
            "http://127.0.0.1:1/feed".to_owned(),
            format!("{tls}/feed/2"),
        ];
        let (kind, lines) = ask(&addr, &urls);
        assert!(kind.starts_with("text/plain"), "{kind}");
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert_eq!(lines[0], "Cats & dogs 0");
        assert_eq!(lines[1], "Feed 1");
        assert!(lines[2].starts_with(&format!("{}: ", urls[2])), "{lines:?}");
        assert!(lines[3].starts_with(&format!("{}: ", urls[3])), "{lines:?}");
        assert_eq!(lines[4], "Cats & dogs 2");
    });
}

#[test]
fn the_dispatcher_fetches_many_feeds_in_about_the_time_of_one() {
    with_programs(|| {
        let (_server, addr) = start("dispatcher");
        let [plain, _] = site(feed);
        let urls: Vec<_> = (0..50)
            .map(|n| format!("{plain}/feed/{}", 2 * n + 1))
            .collect();
        let start = Instant::now();
        let (_, lines) = ask(&addr, &urls);
        assert!(start.elapsed() < Duration::from_secs(8));
        let expected: Vec<_> = (0..50).map(|n| format!("Feed {}", 2 * n + 1)).collect();
        assert_eq!(lines, expected);
    });
}

#[test]
fn the_workers_answer_requests_and_end_in_order_by_a_signal() {
    with_programs(|| {
        let (mut server, addr) = start("workers");
        let page = http::get(&format!("http://{addr}/page")).unwrap();
        assert_eq!(
            page.into_body().into_text().unwrap(),
            "you asked for /page\n"
        );
        let kill = format!("kill {}", server.0.id());
        let kill = Command::new("sh").args(["-c", &kill]).status();
        assert!(kill.unwrap().success());
        assert!(server.0.wait().unwrap().success());
    });
}
