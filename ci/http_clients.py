"""Asks the server of `ci/http.sh` with Python's own client and with `requests`.

Usage: http_clients.py HTTP_PORT HTTPS_PORT CHAIN.pem
"""

import http.client
import ssl
import sys
import threading

import requests

HTTP_PORT, HTTPS_PORT, CHAIN = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
PATTERN = bytes(at % 251 for at in range(8 << 20))
LINES = "".join(f"line {number}\n" for number in range(1000)).encode()


def connect(scheme):
    if scheme == "http":
        return http.client.HTTPConnection("localhost", HTTP_PORT, timeout=30)
    context = ssl.create_default_context(cafile=CHAIN)
    return http.client.HTTPSConnection("localhost", HTTPS_PORT, timeout=30, context=context)


def ask(connection, method, path, **options):
    connection.request(method, path, **options)
    response = connection.getresponse()
    return response.status, response.read()


def check_http_client(scheme):
    connection = connect(scheme)
    assert ask(connection, "GET", "/hello") == (200, b"hello\n")
    socket = connection.sock
    assert ask(connection, "GET", "/chunked") == (200, LINES)
    assert ask(connection, "GET", "/big") == (200, PATTERN)
    assert ask(connection, "GET", "/big-chunked") == (200, PATTERN)
    assert ask(connection, "HEAD", "/big") == (200, b"")
    assert ask(connection, "GET", "/none") == (204, b"")
    assert ask(connection, "GET", "/panics")[0] == 500
    assert ask(connection, "GET", "/missing")[0] == 404
    # With its length, and in chunks.
    upload = PATTERN[:300_000]
    assert ask(connection, "POST", "/echo", body=upload) == (200, upload)
    pieces = iter([upload[:1], upload[1:70_000], upload[70_000:]])
    assert ask(connection, "PUT", "/echo", body=pieces, encode_chunked=True) == (200, upload)
    assert connection.sock is socket, "all of them use one connection"

    # The server closes the connection after an upload that it has not read, and says so.
    status, body = ask(connection, "POST", "/unread", body=PATTERN[:1_500_000])
    assert (status, body) == (200, b"not read\n")
    assert connection.sock is None
    # Without waiting for the answer, Python sends all of it. The answer still arrives.
    assert ask(connection, "POST", "/length", body=PATTERN[: 3 << 20])[0] == 413

    # A body that is cut off is never taken for a whole one.
    for path in ["/fails", "/fails-sized"]:
        try:
            ask(connect(scheme), "GET", path)
        except (http.client.IncompleteRead, ConnectionResetError, ssl.SSLError):
            continue
        raise AssertionError(f"{path} looks complete")

    # HTTP/1.0, where the end of the connection is the end of a body.
    old = connect(scheme)
    old._http_vsn, old._http_vsn_str = 10, "HTTP/1.0"
    assert ask(old, "GET", "/chunked") == (200, LINES)


def check_requests(scheme):
    url = f"http://localhost:{HTTP_PORT}"
    session = requests.Session()
    if scheme == "https":
        url = f"https://localhost:{HTTPS_PORT}"
        session.verify = CHAIN
    session.trust_env = False
    assert session.get(url + "/hello", timeout=30).text == "hello\n"
    assert session.get(url + "/big-chunked", timeout=30).content == PATTERN
    assert session.head(url + "/big", timeout=30).headers["Content-Length"] == str(8 << 20)
    upload = PATTERN[:300_000]
    assert session.post(url + "/echo", data=upload, timeout=30).content == upload
    pieces = (upload[at : at + 1000] for at in range(0, len(upload), 1000))
    assert session.post(url + "/echo", data=pieces, timeout=30).content == upload
    form = session.post(url + "/echo", data={"a": "1", "b": "x y"}, timeout=30)
    assert form.text == "a=1&b=x+y"
    refused = session.post(url + "/refuse", data=PATTERN[:1_500_000], timeout=30)
    assert refused.status_code == 403 and "not here" in refused.text
    assert session.post(url + "/length", data=PATTERN, timeout=30).status_code == 413
    with session.get(url + "/sse", stream=True, timeout=30) as response:
        events = [line for line in response.iter_lines() if line]
        assert events == [f"data: {number}".encode() for number in range(5)]
    for path in ["/fails", "/fails-sized"]:
        try:
            response = session.get(url + path, timeout=30)
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
            continue
        # With urllib3 before 2.0, requests leaves it to the program to compare the length.
        announced = int(response.headers.get("Content-Length", 0))
        assert len(response.content) < announced, f"{path} looks complete"

    # Many at once, each with its own body.
    wrong = []

    def exchange(number):
        body = f"number {number} ".encode() * (number * 10)
        try:
            answer = requests.post(
                url + "/echo", data=body, timeout=30, verify=session.verify
            ).content
            if answer != body:
                wrong.append(number)
        except requests.exceptions.RequestException as error:
            wrong.append((number, error))

    threads = [threading.Thread(target=exchange, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong


for scheme in ["http", "https"]:
    check_http_client(scheme)
    print(f"ok: http.client, {scheme}")
    check_requests(scheme)
    print(f"ok: requests {requests.__version__}, {scheme}")
