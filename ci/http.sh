#!/usr/bin/env bash
# Tries an HTTP server of evy with clients and proxies from outside: curl and Python and, without
# `--short`, also ab, wrk, h2load and nginx. Each check compares what arrives, so a response that is
# cut off, doubled or mixed up fails it.
#
# Usage: ci/http.sh [--short]
set -euo pipefail
cd "$(dirname "$0")/.."
. ci/debian.sh

is_short=false
[ "${1:-}" = --short ] && is_short=true

need curl curl
need openssl openssl
need python3 python3
python=python3
if ! $python -c 'import requests' 2>/dev/null; then
    [ -x /usr/bin/python3 ] && /usr/bin/python3 -c 'import requests' 2>/dev/null ||
        need python3-requests python3-requests
    python=/usr/bin/python3
fi
profile=(); folder=debug
if ! $is_short; then
    need ab apache2-utils
    need wrk wrk
    need h2load nghttp2-client
    need nginx nginx
    profile=(--release); folder=release
fi

cargo build "${profile[@]}" -p evy-test-support --features http-programs --bin http-server --locked
program=${CARGO_TARGET_DIR:-target}/$folder/http-server

work=$(mktemp -d)
pids=()
trap '[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT

openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/key.pem" -out "$work/chain.pem" -days 2 \
    -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null

step() { printf '\n--- %s\n' "$*"; }

# Compares two texts.
expect() {
    if [ "$2" != "$3" ]; then
        printf 'FAILED: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3" >&2
        printf '%s\n' '  the server has reported:' >&2
        tail -n 20 "$work/reported" >&2
        exit 1
    fi
    printf 'ok: %s\n' "$1"
}

# Checks that a text contains a regular expression.
expect_match() {
    grep -Eq -- "$2" <<<"$3" || expect "$1" "/$2/" "$3"
    printf 'ok: %s\n' "$1"
}

start_server() {
    RUST_BACKTRACE=0 "$program" "$work/chain.pem" "$work/key.pem" \
        >"$work/server" 2>"$work/reported" &
    server=$!
    pids+=("$server")
    for _ in $(seq 100); do grep -q ready "$work/server" && break || sleep 0.1; done
    http_port=$(sed -n 's/^http //p' "$work/server")
    https_port=$(sed -n 's/^https //p' "$work/server")
    http=http://localhost:$http_port
    https=https://localhost:$https_port
}

# Stops the server in order. Its connections must end by themselves.
stop_server() {
    kill -TERM "$server"
    local status=0
    wait "$server" || status=$?
    expect "the server stops, and no connection is left" 0 "$status"
}

# curl with what all calls have in common.
fetch() { curl --no-progress-meter --ipv4 --cacert "$work/chain.pem" --max-time 30 "$@"; }

# Prints the exit code of curl.
exit_code() { local code=0; fetch -o "$work/part" "$@" 2>/dev/null || code=$?; echo "$code"; }

# The pattern of the large response, and uploads of two sizes: below and above the limit of a body.
$python - "$work" <<'PYTHON'
import sys
pattern = bytes(at % 251 for at in range(8 << 20))
for name, length in [("big", 8 << 20), ("upload", 1_500_000)]:
    with open(f"{sys.argv[1]}/{name}", "wb") as file:
        file.write(pattern[:length])
PYTHON
seq -f 'line %g' 0 999 >"$work/lines"

is_same() { cmp "$1" "$2" >/dev/null && echo same || echo different; }

# What a client sees at a base URL, directly or through a proxy.
common_checks() {
    local name=$1 url=$2
    shift 2
    local options=("$@")
    expect "$name: a response" hello "$(fetch "${options[@]}" "$url/hello")"
    expect "$name: a missing page" 404 \
        "$(fetch "${options[@]}" -o "$work/part" -w '%{http_code}' "$url/missing")"
    expect "$name: a response without a body" 204: \
        "$(fetch "${options[@]}" -w '%{http_code}:' "$url/none")"
    fetch "${options[@]}" "$url/chunked" >"$work/part"
    expect "$name: a response of unknown length" same "$(is_same "$work/lines" "$work/part")"
    local page
    for page in big big-chunked; do
        fetch "${options[@]}" "$url/$page" >"$work/part"
        expect "$name: a large response, /$page" same "$(is_same "$work/big" "$work/part")"
    done
    expect_match "$name: HEAD" '^[Cc]ontent-[Ll]ength: 8388608' \
        "$(fetch "${options[@]}" --head "$url/big")"
    fetch "${options[@]}" --data-binary "@$work/upload" "$url/echo" >"$work/part"
    expect "$name: an upload is sent back" same "$(is_same "$work/upload" "$work/part")"
    expect "$name: errors and panics are 500" "500 500 200" "$(fetch "${options[@]}" \
        -o "$work/part" -o "$work/part" -o "$work/part" -w '%{http_code} ' \
        "$url/error" "$url/panics" "$url/hello" | sed 's/ $//')"
    expect "$name: an upload that no handler reads" "not read" \
        "$(fetch "${options[@]}" -H Expect: --data-binary "@$work/upload" "$url/unread")"
    expect "$name: an upload that is refused" 403 "$(fetch "${options[@]}" -H Expect: \
        --data-binary "@$work/upload" -o "$work/part" -w '%{http_code}' "$url/refuse")"
    expect "$name: an upload that is too large" 413 "$(fetch "${options[@]}" -H Expect: \
        --data-binary "@$work/big" -o "$work/part" -w '%{http_code}' "$url/length")"
    # 18: the transfer was incomplete; 56: the connection was reset.
    for page in fails fails-sized; do
        expect_match "$name: a truncated response, /$page" '^(18|56)$' \
            "$(exit_code "${options[@]}" "$url/$page")"
    done
    expect "$name: many requests at once" 200 "$(fetch "${options[@]}" --parallel \
        --parallel-max 50 "$url/work?[1-200]" | grep -c '^worked$')"
}

# What only a client without a proxy in between sees.
direct_checks() {
    local name=$1 url=$2
    local reply
    common_checks "$name, HTTP/1.1" "$url" --http1.1
    common_checks "$name, HTTP/1.0" "$url" --http1.0
    expect "$name: a connection is used again" "1 0 0" "$(fetch -o "$work/part" -o "$work/part" \
        -o "$work/part" -w '%{num_connects} ' "$url/hello" "$url/chunked" "$url/hello" |
        sed 's/ $//')"
    reply=$(fetch --include "$url/chunked" | tr -d '\r')
    expect_match "$name: HTTP/1.1 gets chunks" '^transfer-encoding: chunked$' "$reply"
    reply=$(fetch --http1.0 --include "$url/chunked" | tr -d '\r')
    expect "$name: HTTP/1.0 gets none" 0 "$(grep -c '^transfer-encoding' <<<"$reply" || true)"
    fetch -H 'Transfer-Encoding: chunked' -T "$work/upload" "$url/echo" >"$work/part"
    expect "$name: an upload in chunks" same "$(is_same "$work/upload" "$work/part")"
    expect "$name: an upload in chunks that is too large" 413 "$(fetch -o "$work/part" -H Expect: \
        -H 'Transfer-Encoding: chunked' -T "$work/big" -w '%{http_code}' "$url/length")"
    reply=$(fetch --verbose -H 'Expect: 100-continue' --expect100-timeout 20 \
        --data-binary "@$work/upload" "$url/length" 2>&1)
    expect_match "$name: 100 Continue" '^< HTTP/1.1 100 Continue' "$reply"
    expect_match "$name: the upload after it" '1500000$' "$reply"
    expect "$name: without 100 Continue nothing is uploaded" "403 0" "$(fetch -o "$work/part" \
        -H 'Expect: 100-continue' --expect100-timeout 20 --data-binary "@$work/upload" \
        -w '%{http_code} %{size_upload}' "$url/refuse")"
    expect "$name: a server-sent event does not wait for the next one" 1 "$(fetch --no-buffer \
        -o "$work/part" -w '%{time_total} %{time_starttransfer}' "$url/sse" |
        awk '{ print ($1 - $2 >= 0.3) }')"
    expect "$name: all events arrive" 5 "$(grep -c '^data: ' "$work/part")"
    expect "$name: a client that gives up" 28 "$(exit_code --max-time 0.1 "$url/slow")"
}

start_server
step curl
direct_checks HTTP "$http"
direct_checks HTTPS "$https"
expect "the target of a request to a proxy" hello \
    "$(fetch --proxy "$http" http://example.org/hello)"
expect_match "plain HTTP at the port of HTTPS" '^HTTP/1.0 400 ' \
    "$(fetch --include "http://localhost:$https_port/hello" || true)"

step "Python: http.client and requests"
"$python" ci/http_clients.py "$http_port" "$https_port" "$work/chain.pem"
stop_server
if $is_short; then
    step "all checks passed"
    exit
fi

start_server
step "ab"
# Runs ab, and checks that it has counted no error.
run_ab() {
    local name=$1 count=$2
    shift 2
    ab -q -n "$count" "$@" >"$work/ab" 2>&1 || { cat "$work/ab"; exit 1; }
    expect "$name: completed" "$count" "$(awk '/^Complete requests:/ { print $3 }' "$work/ab")"
    expect "$name: failed" 0 "$(awk '/^Failed requests:/ { print $3 }' "$work/ab")"
    expect "$name: other statuses and errors" "" \
        "$(grep -E '^(Non-2xx responses|Write errors)' "$work/ab" || true)"
}
run_ab "HTTP/1.0, closed after each request" 5000 -c 50 "$http/hello"
run_ab "HTTP/1.0, kept alive" 20000 -k -c 50 "$http/hello"
expect "they were kept alive" 20000 "$(awk '/^Keep-Alive requests:/ { print $3 }' "$work/ab")"
run_ab "uploads" 500 -k -c 20 -T text/plain -p "$work/upload" "$http/length"
run_ab "HTTPS" 1000 -c 20 "$https/hello"
run_ab "HTTPS, kept alive" 10000 -k -c 20 "$https/hello"

step "wrk"
# Runs wrk, and checks that it has counted no error.
run_wrk() {
    local name=$1
    shift
    wrk -t 1 -c 64 -d 3s --timeout 10s "$@" >"$work/wrk"
    expect_match "$name: has answers" '[1-9][0-9]* requests in' "$(cat "$work/wrk")"
    expect "$name: errors" "" "$(grep -E 'Socket errors|Non-2xx' "$work/wrk" || true)"
}
# 16 requests at a time.
cat >"$work/pipeline.lua" <<'LUA'
function init()
    local requests = {}
    for index = 1, 16 do requests[index] = wrk.format("GET", "/hello") end
    all = table.concat(requests)
end
function request() return all end
LUA
run_wrk "HTTP" "$http/hello"
run_wrk "HTTP, pipelined" -s "$work/pipeline.lua" "$http/hello"
run_wrk "HTTP, in chunks" "$http/chunked"
run_wrk "HTTP, large" "$http/big"
run_wrk "HTTPS" "$https/hello"
run_wrk "HTTPS, large" "$https/big"

step "h2load --h1"
run_h2load() {
    local name=$1
    shift
    h2load --h1 -n 20000 -c 50 "$@" >"$work/h2load"
    expect_match "$name" '20000 done, 20000 succeeded, 0 failed, 0 errored, 0 timeout' \
        "$(grep '^requests:' "$work/h2load")"
}
run_h2load "HTTP" "$http/hello"
run_h2load "HTTP, pipelined" -m 8 "$http/hello"
run_h2load "HTTPS" "$https/hello"

step "nginx in front"
port=$("$python" -c '
import socket
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1])')
# Its workers have another user.
chmod 711 "$work"
mkdir "$work/nginx"
cat >"$work/nginx.conf" <<NGINX
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log info;
worker_processes 1;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path $work/nginx/body;
    proxy_temp_path $work/nginx/proxy;
    fastcgi_temp_path $work/nginx/fastcgi;
    uwsgi_temp_path $work/nginx/uwsgi;
    scgi_temp_path $work/nginx/scgi;
    client_max_body_size 0;
    keepalive_requests 1000000;
    upstream kept { server 127.0.0.1:$http_port; keepalive 32; }
    upstream secure { server 127.0.0.1:$https_port; keepalive 32; }
    # With its default, 1.0, nginx closes the connection after each request.
    server {
        listen 127.0.0.1:$port;
        location = /ready { return 204; }
        location /plain/ { proxy_pass http://127.0.0.1:$http_port/; }
        location /kept/ {
            proxy_pass http://kept/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
        location /unbuffered/ {
            proxy_pass http://kept/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_request_buffering off;
        }
        location /secure/ {
            proxy_pass https://secure/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate $work/chain.pem;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
        }
    }
}
NGINX
nginx -p "$work" -c "$work/nginx.conf" &
pids+=("$!")
proxy=http://localhost:$port
for _ in $(seq 100); do fetch "$proxy/ready" >/dev/null 2>&1 && break || sleep 0.1; done
for way in plain kept unbuffered secure; do
    common_checks "nginx, $way" "$proxy/$way" --http1.1
    run_wrk "nginx, $way" "$proxy/$way/hello"
done
expect "nginx, unbuffered: an event does not wait for the next one" 1 "$(fetch --no-buffer \
    -o "$work/part" -w '%{time_total} %{time_starttransfer}' "$proxy/unbuffered/sse" |
    awk '{ print ($1 - $2 >= 0.3) }')"
# An answer before all of an upload was read is an error for nginx too, but not for its client.
expect "nginx has met no other error" "" "$(
    grep -E '\[(error|crit|alert|emerg)\]' "$work/nginx.log" |
        grep -Ev '/fails(-sized)? |/(refuse|length|unread) ' || true
)"
stop_server

# wrk asks again as soon as it has an answer. When an answer announces the close, it connects again,
# which the stopped server refuses: those are its `connect` and `write` errors. A request that was
# sent, and whose answer is lost, would be a `read` error or a timeout.
step "stop under the load of wrk"
for scheme in http https; do
    start_server
    wrk -t 1 -c 64 -d 6s --timeout 10s "${!scheme}/work" >"$work/wrk" &
    load=$!
    sleep 2
    stop_server
    wait "$load"
    errors=$(grep 'Socket errors' "$work/wrk" || echo "Socket errors: none")
    expect_match "$scheme: no request is lost" 'none$| read 0, write [0-9]+, timeout 0$' "$errors"
    expect "$scheme: no other status" "" "$(grep Non-2xx "$work/wrk" || true)"
    expect "$scheme: each request that was read was answered" \
        "$(sed -n 's/ requests, .*//p' "$work/server")" \
        "$(sed -n 's/^ *\([0-9]*\) requests in.*/\1/p' "$work/wrk")"
done

step "all checks passed"
