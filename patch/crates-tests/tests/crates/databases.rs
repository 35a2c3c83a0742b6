//! Clients of databases, with real servers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mysql::prelude::Queryable;

use crate::servers::{self, Running};
use crate::{at_once, patched};

/// A folder that is removed when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evy-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn is_root() -> bool {
    // SAFETY: the function has no arguments.
    unsafe { libc::geteuid() == 0 }
}

/// Runs a command that prepares a server. Returns whether the program exists.
fn prepare(command: &mut Command) -> bool {
    let Ok(output) = command.output() else {
        return false;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    true
}

fn start_postgres() -> Option<(Running, Folder, String)> {
    let versions = Path::new("/usr/lib/postgresql").read_dir().ok();
    let Some(programs) = versions.and_then(|mut versions| versions.next()) else {
        servers::skip("postgres");
        return None;
    };
    let programs = programs.unwrap().path().join("bin");
    let folder = Folder::new("postgres");
    // The server refuses to run as root.
    let command = |program: &str| {
        let program = programs.join(program);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        command.arg("--").arg(program);
        command
    };
    if is_root() {
        assert!(prepare(
            Command::new("chown").args(["postgres", folder.path()])
        ));
    }
    let data = format!("{}/data", folder.path());
    let mut init = command("initdb");
    init.args(["-D", &data, "-A", "trust", "-U", "evy", "--no-sync"]);
    assert!(prepare(&mut init));
    let port = servers::free_port().to_string();
    let mut server = command("postgres");
    server.args([
        "-D",
        &data,
        "-p",
        &port,
        "-k",
        folder.path(),
        "-h",
        "127.0.0.1",
    ]);
    let server = servers::start(server, port.parse().unwrap())?;
    let url = format!("postgresql://evy@127.0.0.1:{port}/postgres");
    // It accepts connections before it serves them.
    for _ in 0..200 {
        if postgres::Client::connect(&url, postgres::NoTls).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Some((server, folder, url))
}

fn start_mysql() -> Option<(Running, Folder, mysql::Opts)> {
    let folder = Folder::new("mysql");
    let data = format!("--datadir={}/data", folder.path());
    let user = "--user=root";
    let mut install = Command::new("mariadb-install-db");
    install.args(["--no-defaults", &data, user, "--skip-test-db"]);
    if !prepare(&mut install) {
        servers::skip("mariadbd");
        return None;
    }
    let port = servers::free_port();
    let mut server = Command::new("mariadbd");
    server.args(["--no-defaults", &data, user, "--skip-grant-tables"]);
    server.args(["--bind-address=127.0.0.1", &format!("--port={port}")]);
    server.arg(format!("--socket={}/socket", folder.path()));
    server.arg(format!("--pid-file={}/pid", folder.path()));
    let server = servers::start(server, port)?;
    let options = mysql::OptsBuilder::new()
        .ip_or_hostname(Some("127.0.0.1"))
        .tcp_port(port)
        .user(Some("root"))
        .prefer_socket(false);
    Some((server, folder, options.into()))
}

#[test]
fn ten_green_threads_wait_for_postgres() {
    patched(|| {
        let Some((_server, _folder, url)) = start_postgres() else {
            return;
        };
        let numbers = at_once(10, move |index| {
            let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
            client.batch_execute("SELECT pg_sleep(0.3)").unwrap();
            let number = i32::try_from(index).unwrap();
            let row = client.query_one("SELECT $1::int4 + 1", &[&number]).unwrap();
            row.get::<_, i32>(0)
        });
        assert_eq!(numbers, (1..11).collect::<Vec<_>>());
    });
}

#[test]
fn ten_green_threads_wait_for_mysql() {
    patched(|| {
        let Some((_server, _folder, options)) = start_mysql() else {
            return;
        };
        let direct = options.clone();
        let numbers = at_once(10, move |index| {
            let mut connection = mysql::Conn::new(direct.clone()).unwrap();
            let query = format!("SELECT SLEEP(0.3) + {index}");
            connection.query_first::<usize, _>(query).unwrap()
        });
        assert_eq!(numbers, (0..10).map(Some).collect::<Vec<_>>());

        let pool = mysql::Pool::new(options).unwrap();
        let numbers = at_once(10, move |index| {
            let mut connection = pool.get_conn().unwrap();
            let query = "SELECT SLEEP(0.3) + ?";
            connection
                .exec_first::<usize, _, _>(query, (index,))
                .unwrap()
        });
        assert_eq!(numbers, (0..10).map(Some).collect::<Vec<_>>());
    });
}

/// SQLite waits for the lock of a file with sleeps.
#[test]
fn green_threads_wait_for_the_lock_of_sqlite() {
    patched(|| {
        let folder = Folder::new("sqlite");
        let path = folder.0.join("data");
        let first = rusqlite::Connection::open(&path).unwrap();
        first
            .execute_batch("CREATE TABLE numbers (number INTEGER); BEGIN IMMEDIATE")
            .unwrap();
        let holder = evy::spawn(move || {
            std::thread::sleep(crate::WAIT);
            first.execute_batch("COMMIT").unwrap();
        });
        let inserted = at_once(20, move |index| {
            let connection = rusqlite::Connection::open(&path).unwrap();
            connection
                .pragma_update(None, "synchronous", "OFF")
                .unwrap();
            connection.busy_timeout(Duration::from_secs(30)).unwrap();
            connection
                .execute("INSERT INTO numbers VALUES (?)", [index as i64])
                .unwrap()
        });
        assert_eq!(inserted, [1; 20]);
        holder.join().unwrap();
    });
}

/// A manager of connections that take a while to open.
struct Slow;

impl r2d2::ManageConnection for Slow {
    type Connection = u8;
    type Error = std::io::Error;

    fn connect(&self) -> Result<u8, Self::Error> {
        std::thread::sleep(Duration::from_millis(20));
        Ok(7)
    }

    fn is_valid(&self, _: &mut u8) -> Result<(), Self::Error> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u8) -> bool {
        false
    }
}

#[test]
fn green_threads_share_a_pool_of_r2d2() {
    patched(|| {
        let pool = r2d2::Pool::builder().max_size(5).build(Slow).unwrap();
        let connections = at_once(20, move |_| {
            let connection = pool.get().unwrap();
            std::thread::sleep(crate::WAIT);
            *connection
        });
        assert_eq!(connections, [7; 20]);
    });
}

#[test]
fn green_threads_wait_for_memcached() {
    patched(|| {
        let port = servers::free_port();
        let mut command = Command::new("memcached");
        command.args(["-l", "127.0.0.1", "-u", "root", "-p", &port.to_string()]);
        let Some(_server) = servers::start(command, port) else {
            return;
        };
        let client = memcache::connect(format!("memcache://127.0.0.1:{port}")).unwrap();
        let values = at_once(10, move |index| {
            let key = format!("key {index}").replace(' ', "-");
            client.set(&key, index as u64, 60).unwrap();
            std::thread::sleep(crate::WAIT);
            client.get::<u64>(&key).unwrap()
        });
        assert_eq!(values, (0..10).map(Some).collect::<Vec<_>>());
    });
}
