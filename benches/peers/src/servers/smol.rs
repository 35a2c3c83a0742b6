//! smol with one executor, on the main OS thread: a task for each connection.

use std::io;
use std::net::SocketAddr;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};

pub(super) fn echo(addr: SocketAddr) -> io::Result<()> {
    let executor = smol::LocalExecutor::new();
    smol::block_on(executor.run(async {
        let listener = TcpListener::bind(addr).await?;
        super::announce(listener.local_addr()?);
        loop {
            let (client, _) = listener.accept().await?;
            client.set_nodelay(true)?;
            executor.spawn(serve(client)).detach();
        }
    }))
}

async fn serve(mut client: TcpStream) -> io::Result<()> {
    let mut buf = [0; 1024];
    loop {
        match client.read(&mut buf).await? {
            0 => return Ok(()),
            n => client.write_all(&buf[..n]).await?,
        }
    }
}
