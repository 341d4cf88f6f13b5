# shellcheck shell=bash disable=SC2154
# The servers that people have: static files and mirrors by nginx, HTTP/2 with TLS by nginx and
# caddy, SOCKS5 and HTTP proxies, an S3 store. Not a program: `kubo.sh` reads it, and calls
# `check_servers` when its Kubo runs. Uses what is defined there.
#
# What is not installed is skipped and said: nginx, caddy, openssl, microsocks, tinyproxy,
# versitygw (FETCHD_VERSITYGW names a binary that is not in the PATH).

servers=()

has() { # PROGRAM...
  local program
  for program; do
    if ! command -v "$program" > /dev/null && ! [[ -x /usr/sbin/$program ]]; then
      echo "skip  $program is not installed"
      return 1
    fi
  done
}

free_ports() { # COUNT
  python3 -c '
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(each.getsockname()[1] for each in sockets))' "$1"
}

# A server in the background, up when it takes connections.
serve() { # NAME HOST PORT COMMAND...
  "${@:4}" > "$work/$1.log" 2>&1 &
  servers+=("$!")
  trap 'stop_servers; stop' EXIT
  until (: > "/dev/tcp/$2/$3") 2> /dev/null; do
    kill -0 "${servers[-1]}" || { cat "$work/$1.log" >&2; echo "$1 does not start" >&2; exit 1; }
    sleep 0.05
  done
}

stop_servers() {
  local server
  for server in "${servers[@]}"; do
    kill "$server" 2> /dev/null || true
    wait "$server" 2> /dev/null || true
  done
  servers=()
}

### What they serve

# The blocks of a CAR as files named by their CIDs, its nodes in a second directory too.
split_car() { # CAR BLOCKS NODES
  python3 - "$@" << 'PYTHON'
import base64, os, sys

def varint(at):
    value = shift = 0
    while True:
        value |= (car[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if car[at - 1] < 128:
            return value, at

car = open(sys.argv[1], "rb").read()
length, at = varint(0)
at += length
while at < len(car):
    length, at = varint(at)
    cid, block = car[at : at + 36], car[at + 36 : at + length]  # version 1, SHA-256
    at += length
    name = "b" + base64.b32encode(cid).decode().lower().rstrip("=")
    is_leaf = cid[1] == 0x55
    for directory in sys.argv[2 : 3 if is_leaf else 4]:
        with open(os.path.join(directory, name), "wb") as file:
            file.write(block)
PYTHON
}

# A tree of static files for each kind of server; `site/KIND/FORM/ipfs/CID` is what
# `/KIND/ipfs/CID?format=FORM` asks for.
make_site() { # CID FILE
  mkdir -p site/{all,blocks,nodes}/raw/ipfs site/{all,cars}/car/ipfs site/{all,plain}/plain/ipfs site/files
  "$ipfs" dag export -p=false "$1" > "site/cars/car/ipfs/$1"
  split_car "site/cars/car/ipfs/$1" site/blocks/raw/ipfs site/nodes/raw/ipfs
  cp "$2" "site/plain/plain/ipfs/$1"
  cp -r site/{blocks,cars,plain}/. site/all
}

# A certificate for this host by an authority that nothing but SSL_CERT_FILE makes known.
make_certificate() { # HOST
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=Authority -keyout ca.key -out ca.pem \
    -addext keyUsage=critical,keyCertSign
  openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem \
    -extfile <(echo "subjectAltName=DNS:localhost,DNS:$1,IP:127.0.0.1")
} 2> /dev/null > /dev/null

### nginx and caddy

write_nginx_conf() { # PORT TLS_PORT ADDRESS
  local user=
  ((EUID != 0)) || user="user root;"
  cat << CONF
$user daemon off; pid nginx.pid; worker_processes 1; error_log stderr;
events {}
http {
  access_log nginx.access; types {} default_type application/octet-stream;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  map \$arg_format \$form { default plain; raw raw; car car; }
  server {
    listen 127.0.0.1:$1;
    listen 127.0.0.1:$2 ssl http2;
    $([[ $3 == 127.0.0.1 ]] || echo "listen $3:$1; listen $3:$2 ssl http2;")
    ssl_certificate server.pem; ssl_certificate_key server.key;
    root site;
    rewrite ^/ipfs/ /all\$uri;
    location /routing/v1/ { default_type application/json; }
    location ~ ^/(\w+)(/ipfs/.*) { rewrite ^/(\w+)(/ipfs/.*) /\$1/\$form\$2 last; }
    location ~ /raw/ipfs/ { internal; default_type application/vnd.ipld.raw; }
    location ~ /car/ipfs/ { internal; default_type application/vnd.ipld.car; }
    location ~ /plain/ipfs/ { internal; }
  }
}
CONF
}

write_caddyfile() { # TLS_PORT
  cat << CONF
{
  admin off
  auto_https off
}
https://localhost:$1 {
  bind 127.0.0.1
  tls server.pem server.key
  root * site/all
  @raw query format=raw
  @car query format=car
  @plain not query format=*
  header @raw Content-Type application/vnd.ipld.raw
  header @car Content-Type application/vnd.ipld.car
  rewrite @raw /raw{path}
  rewrite @car /car{path}
  rewrite @plain /plain{path}
  file_server
}
CONF
}

# By two providers, of which neither has all of it.
fetched_by_two() { # PROOF CID FILE OPTION...
  run get "$2" -o out "${@:4}"
  same out "$3"
  must proof "$(shown receipt.proof)" "$1"
}

# What is not what it says is not kept.
fetched_beside_a_liar() { # CID FILE LIAR OPTION...
  fetched_by_two blocks "$1" "$2" --mirror "$3" "${@:4}"
  run --json show 1 | python3 -c '
import json, sys
liar = [p for p in json.load(sys.stdin)["download"]["receipt"]["providers"] if p["url"] == sys.argv[1]]
assert all(p["bytes"] == 0 for p in liar), liar' "$3"
}

fetched_with_sum() { # URL FILE
  run get "$1" --sha256 "$(sum "$2")" -o out
  same out "$2"
}

# Starts a download that takes seconds, and kills it when some of it is on record.
start_and_kill() { # GET_ARGUMENT...
  FETCHD_CHECKPOINT_INTERVAL=200ms start get "$@" -o out --limit-rate 12M
  until [[ $(shown checkpoints 2> /dev/null) == *[0-9]* && -n $(find . -name '*.partial' -size +6M) ]]; do
    kill -0 "$started" || { echo "ended before it could be killed"; exit 1; }
    sleep 0.05
  done
  kill -KILL "$started"
  wait "$started" || true
}

killed_once() { # FILE GET_ARGUMENT...
  start_and_kill "${@:2}"
  run resume 1
  same out "$1"
  (($(shown receipt.resumed_from) > 0))
}

# Another file under the same URL, of the same length, while nobody looks: not a byte of the first
# may stay.
changed_between() { # URL PUT FILE OTHER
  $2 "$4"
  start_and_kill "$1" --sha256 "$(sum "$3")"
  $2 "$3"
  run resume 1
  same out "$3"
}

# A mirror whose file is replaced by another one: its bytes do not prove, the gateway's do.
mirror_changed_between() { # CID FILE OTHER MIRROR PUT OPTION...
  $5 "$2"
  start_and_kill "$1" --mirror "$4" "${@:6}"
  $5 "$3"
  run resume 1
  same out "$2"
}

# nginx makes its entity tags of a file's second and size.
put_file() { # FILE
  local changing=$work/site/files/changing second=1000000000
  [[ ! -e $changing.bin ]] || second=$(($(stat -c %Y "$changing.bin") + 1))
  cp "$1" "$changing.new"
  touch -d "@$second" "$changing.new"
  mv "$changing.new" "$changing.bin"
}

untrusted() { # CID FILE URL
  (unset SSL_CERT_FILE; FETCHD_MAX_RETRIES=0 exits 75 get "$1" --gateway "$3" -o out)
  run resume 1
  same out "$2"
}

check_nginx() { # CID FILE
  local http=http://127.0.0.1:$port other=$work/site/files/other.bin
  check "nginx, blocks as files" fetched_from "$http/blocks" "$1" "$2"
  check "nginx, CARs as files" fetched_from "$http/cars" "$1" "$2"
  check "nginx, files by CID" fetched_from "$http/plain" "$1" "$2"
  check "nginx, files by CID and the nodes elsewhere" \
    fetched_by_two leaves "$1" "$2" --gateway "$http/plain" --gateway "$http/nodes"
  check "nginx, a mirror and the nodes elsewhere" \
    fetched_by_two leaves "$1" "$2" --mirror "$http/files/model.bin" --gateway "$http/nodes"
  check "nginx, a mirror of another file" \
    fetched_beside_a_liar "$1" "$2" "$http/files/other.bin" --gateway "$http/blocks"
  check "nginx, a plain file" fetched_with_sum "$http/files/model.bin" "$2"
  check "nginx, blocks, killed and resumed" killed_once "$2" "$1" --gateway "$http/blocks"
  check "nginx, CARs, killed and resumed" killed_once "$2" "$1" --gateway "$http/cars"
  check "nginx, a plain file, killed and resumed" \
    killed_once "$2" "$http/files/model.bin" --sha256 "$(sum "$2")"
  check "nginx, a plain file that changes" \
    changed_between "$http/files/changing.bin" put_file "$2" "$other"
  check "nginx, a mirror that changes" mirror_changed_between "$1" "$2" "$other" \
    "$http/files/changing.bin" put_file --gateway "$http/all"
}

# A router of static files, which names the server that it is on, and Kubo's own, which knows nobody.
write_providers() { # CID
  mkdir -p site/routing/v1/providers
  cat > "site/routing/v1/providers/$1" << JSON
{"Providers": [{"Schema": "peer", "ID": "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5",
  "Addrs": ["/ip4/127.0.0.1/tcp/$port/http"], "Protocols": ["transport-ipfs-gateway-http"]}]}
JSON
}

# From whom a router names: the only gateway that is configured does not have it.
routed() { # CODE ROUTER CID FILE
  IPFS_PATH='' FETCHD_GATEWAYS=http://127.0.0.1:$port/nobody FETCHD_ROUTERS=$2 exits "$1" get "$3" -o out
  (($1 != 0)) || same out "$4"
}

check_routers() { # CID FILE
  write_providers "$1"
  check "nginx, a router that names nginx" routed 0 "http://127.0.0.1:$port" "$1" "$2"
  check "Kubo, a router that knows nobody" routed 69 "$gateway" "$1" "$2"
}

check_tls() { # NAME CID FILE URL
  check "$1, HTTP/2, TLS" fetched_from "$4" "$2" "$3"
  check "$1, HTTP/2, TLS, killed and resumed" killed_once "$3" "$2" --gateway "$4"
  check "$1, an unknown authority" untrusted "$2" "$3" "$4"
}

### Proxies

# Through a proxy, which has a line in its log for it.
proxied() { # LOG CID FILE URL
  local lines
  lines=$(wc -l < "$1")
  fetched_from "$4" "$2" "$3"
  (($(wc -l < "$1") > lines)) || { echo "the proxy was not asked"; exit 1; }
}

# What the proxy does not let through: said without the password, and resumed with the right one.
locked_out() { # CODE WRONG_PROXY RIGHT_PROXY CID FILE URL
  ALL_PROXY=$2 FETCHD_MAX_RETRIES=0 exits "$1" get "$4" --gateway "$6" -o out 2> errors
  cat errors
  if grep -q wrong errors; then echo "a password is shown"; exit 1; fi
  [[ ! -e out ]]
  if (($1 == 75)); then ALL_PROXY=$3 run resume 1; else ALL_PROXY=$3 run resume --reset 1; fi
  same out "$5"
}

check_socks() { # CID FILE HOST
  local open closed at=127.0.0.1
  local http=http://$3:$port/blocks https=https://$3:$tls_port/all
  read -r open closed <<< "$(free_ports 2)"
  serve socks "$at" "$open" microsocks -i "$at" -p "$open"
  serve socks-login "$at" "$closed" microsocks -i "$at" -p "$closed" -u alice -P secret
  local login=socks5h://alice:secret@$at:$closed
  ALL_PROXY=socks5h://$at:$open check "SOCKS5" proxied "$work/socks.log" "$1" "$2" "$http"
  ALL_PROXY=socks5://$at:$open check "SOCKS5, TLS" proxied "$work/socks.log" "$1" "$2" "$https"
  ALL_PROXY=$login check "SOCKS5 with a login, TLS" proxied "$work/socks-login.log" "$1" "$2" "$https"
  check "SOCKS5 with a wrong login" locked_out 75 "socks5h://alice:wrong@$at:$closed" "$login" "$1" "$2" "$http"
  check "SOCKS5 without the login" locked_out 75 "socks5h://$at:$closed" "$login" "$1" "$2" "$https"
}

# A proxy that fetchd does not understand is not passed by.
mistyped() { # CID URL
  ALL_PROXY=sock5://alice:wrong@127.0.0.1:9 exits 78 get "$1" --gateway "$2" -o out 2> errors
  grep ALL_PROXY errors
  if grep wrong errors; then exit 1; fi
}

write_tinyproxy_conf() { # PORT LINE...
  printf '%s\n' "Port $1" "Listen 127.0.0.1" "Allow 127.0.0.1" "ConnectPort $tls_port" "LogLevel Connect" "${@:2}"
}

check_http_proxy() { # CID FILE HOST
  local open closed at=127.0.0.1
  local http=http://$3:$port/blocks https=https://$3:$tls_port/all
  read -r open closed <<< "$(free_ports 2)"
  write_tinyproxy_conf "$open" > open.conf
  write_tinyproxy_conf "$closed" "BasicAuth bob secret" > closed.conf
  serve proxy "$at" "$open" tinyproxy -d -c open.conf
  serve proxy-login "$at" "$closed" tinyproxy -d -c closed.conf
  local login=http://bob:secret@$at:$closed wrong=http://bob:wrong@$at:$closed none=http://$at:$closed
  HTTPS_PROXY=http://$at:$open check "CONNECT" proxied "$work/proxy.log" "$1" "$2" "$https"
  HTTPS_PROXY=$login check "CONNECT with a login" proxied "$work/proxy-login.log" "$1" "$2" "$https"
  check "CONNECT with a wrong login" locked_out 75 "$wrong" "$login" "$1" "$2" "$https"
  check "CONNECT without the login" locked_out 75 "$none" "$login" "$1" "$2" "$https"
  ALL_PROXY=$login check "HTTP proxy with a login" proxied "$work/proxy-login.log" "$1" "$2" "$http"
  check "HTTP proxy without the login" locked_out 75 "$none" "$login" "$1" "$2" "$http"
  # tinyproxy answers 401 to a wrong login, as only the server itself may.
  check "HTTP proxy with a wrong login" locked_out 77 "$wrong" "$login" "$1" "$2" "$http"
}

### An S3 store

s3() { # PATH CURL_ARGUMENT...
  curl -fsS --aws-sigv4 aws:amz:us-east-1:s3 --user key:secret \
    -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$store$1" "${@:2}"
}

put_object() { # FILE
  s3 /bucket/changing.bin -T "$1"
}

# VersityGW sends 206 whatever If-Range says.
check_s3() { # CID FILE SHORT_FILE
  local s3_port store other=$work/site/files/other.bin
  s3_port=$(free_ports 1)
  store=http://127.0.0.1:$s3_port
  mkdir s3
  ROOT_ACCESS_KEY=key ROOT_SECRET_KEY=secret \
    serve s3 127.0.0.1 "$s3_port" "$versitygw" --port "127.0.0.1:$s3_port" --keep-alive posix s3
  s3 /bucket -X PUT
  s3 '/bucket?policy=' -X PUT --data-binary '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
    "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/*"}]}'
  s3 /bucket/model.bin -T "$2"
  s3 "/bucket/ipfs/$1" -T "$2"
  local nodes=http://127.0.0.1:$port/nodes
  check "S3, an object" fetched_with_sum "$store/bucket/model.bin" "$2"
  check "S3, objects by CID" fetched_from "$store/bucket" "$1" "$2"
  check "S3, a mirror and the nodes elsewhere" \
    fetched_by_two leaves "$1" "$2" --mirror "$store/bucket/model.bin" --gateway "$nodes"
  check "S3, an object, killed and resumed" killed_once "$2" "$store/bucket/model.bin" --sha256 "$(sum "$2")"
  check "S3, an object that changes" changed_between "$store/bucket/changing.bin" put_object "$2" "$other"
  check "S3, an object that gets shorter" changed_between "$store/bucket/changing.bin" put_object "$3" "$2"
  check "S3, a mirror that changes" mirror_changed_between "$1" "$2" "$other" \
    "$store/bucket/changing.bin" put_object --gateway "http://127.0.0.1:$port/all"
}

### The run

# A file that is served in every form; prints its CID.
served() { # NAME SIZE
  local cid
  bytes "$1" "$2" > "data/$1"
  cid=$(add "data/$1" --cid-version=1)
  make_site "$cid" "data/$1"
  echo "$cid"
}

check_proxies() { # CID FILE
  local host address
  host=$(hostname)
  address=$(address_of "$host")
  # fetchd asks no proxy for what is this machine by its looks.
  if [[ -z $address ]]; then
    echo "skip  proxies: the name of this machine has no address"
    return
  fi
  unset {NO,ALL,HTTP,HTTPS}_PROXY {no,all,http,https}_proxy
  check "a mistyped proxy" mistyped "$1" "http://$host:$port/all"
  if has microsocks; then check_socks "$1" "$2" "$host"; fi
  if has tinyproxy; then check_http_proxy "$1" "$2" "$host"; fi
  export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
}

# Nothing, if it has none.
address_of() { # HOST
  getent ahostsv4 "$1" | awk 'NR == 1 { print $1 }' || true
}

check_servers() {
  local port tls_port caddy_port large small address
  has nginx openssl || return 0
  address=$(address_of "$(hostname)")
  read -r port tls_port caddy_port <<< "$(free_ports 3)"
  large=$(served served-large $((32 * MIB)))
  small=$(served served-small $((3 * MIB + 1)))
  cp data/served-large site/files/model.bin
  bytes other $((32 * MIB)) > site/files/other.bin
  make_certificate "$(hostname)"
  write_nginx_conf "$port" "$tls_port" "${address:-127.0.0.1}" > nginx.conf
  serve nginx 127.0.0.1 "$port" nginx -p . -c "$work/nginx.conf" -e stderr
  check_nginx "$large" "$work/data/served-large"
  check_routers "$small" "$work/data/served-small"
  if [[ -n $versitygw ]]; then
    check_s3 "$large" "$work/data/served-large" "$work/data/served-small"
  else
    echo "skip  versitygw is not installed"
  fi

  export SSL_CERT_FILE=$work/ca.pem
  check_tls nginx "$large" "$work/data/served-large" "https://localhost:$tls_port/all"
  check "nginx, its log says HTTP/2" grep -m 1 '"GET .* HTTP/2.0" 200' "$work/nginx.access"
  if has caddy; then
    write_caddyfile "$caddy_port" > Caddyfile
    serve caddy 127.0.0.1 "$caddy_port" caddy run --config Caddyfile --adapter caddyfile
    check_tls caddy "$large" "$work/data/served-large" "https://localhost:$caddy_port"
  fi
  check_proxies "$small" "$work/data/served-small"
  unset SSL_CERT_FILE
  stop_servers
}
