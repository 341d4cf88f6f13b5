# shellcheck shell=bash disable=SC2154
# Names against a real Kubo, and DNSLink against a small resolver. Not a program: `kubo.sh` reads
# it, and calls `check_names` when its Kubo runs. Uses what is defined there.

resolver=
dns=system

# A DNS-over-HTTPS resolver (RFC 8484, without TLS) that knows the TXT records of its arguments,
# `NAME=TEXT` each. Its URL is in `dns`.
start_resolver() { # NAME=TEXT...
  python3 - "$@" > "$work/resolver.url" << 'PYTHON' &
import base64, http.server, struct, sys, urllib.parse

records = {}
for argument in sys.argv[1:]:
    name, text = argument.split("=", 1)
    records.setdefault(name, []).append(text.encode())

class Resolver(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        dns = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["dns"][0]
        query = base64.urlsafe_b64decode(dns + "=" * (-len(dns) % 4))
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        texts = records.get(".".join(labels).lower(), [])
        reply = query[:2] + struct.pack(">5H", 0x8180 | (0 if texts else 3), 1, len(texts), 0, 0)
        reply += query[12 : at + 5]
        for text in texts:
            reply += struct.pack(">3HIHB", 0xC00C, 16, 1, 60, len(text) + 1, len(text)) + text
        self.send_response(200)
        self.send_header("Content-Type", "application/dns-message")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *arguments):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Resolver)
print(f"http://127.0.0.1:{server.server_port}/dns-query", flush=True)
server.serve_forever()
PYTHON
  resolver=$!
  trap 'stop_resolver; stop' EXIT
  until [[ -s $work/resolver.url ]]; do
    kill -0 "$resolver" || { echo "no resolver" >&2; exit 1; }
    sleep 0.05
  done
  dns=$(cat "$work/resolver.url")
}

stop_resolver() {
  [[ -z $resolver ]] || kill "$resolver" 2> /dev/null || true
  resolver=
}

publish() { # KEY PATH
  "$ipfs" name publish --allow-offline --resolve=false --key="$1" "$2" > /dev/null
}

named() { # SOURCE FILE CID
  FETCHD_DNS=$dns run get "$1" --gateway "$gateway" -o out 2> errors
  cat errors
  same out "$2"
  must "pinned CID" "$(shown cid)" "$3"
}

# The value changes between two downloads: the second one sees it, the first one stays what it is.
named_anew() { # KEY NAME CID FILE OTHER_CID OTHER_FILE
  publish "$1" "/ipfs/$3"
  named "/ipns/$2" "$4" "$3"
  publish "$1" "/ipfs/$5"
  run get "/ipns/$2" --gateway "$gateway" -o other
  cmp other "$6"
  must "what the first one is pinned to" "$(shown cid)" "$3"
}

unnamed() { # CODE SOURCE
  FETCHD_DNS=$dns exits "$1" get "$2" --gateway "$gateway" -o out
  [[ ! -e out ]]
  no_part_left
}

check_names() { # CID FILE OTHER_CID OTHER_FILE
  local type name last nobody
  for type in ed25519 rsa; do
    name=$("$ipfs" key gen --type="$type" "names-$type")
    publish "names-$type" "/ipfs/$1"
    check "a name, $type" named "/ipns/$name" "$2" "$1"
    check "a name that changes, $type" named_anew "names-$type" "$name" "$1" "$2" "$3" "$4"
    last=$name
  done
  publish names-rsa "/ipfs/$1"
  publish names-ed25519 "/ipns/$last"
  name=$("$ipfs" key list -l | sed -n 's/ *names-ed25519 *$//p')
  check "a name of a name" named "ipns://$name" "$2" "$1"
  nobody=k51qzi5uqu5dk3v4rmjber23h16xnr23bsggmqqil9z2gduiis5se8dht36dam

  start_resolver \
    "_dnslink.docs.example=dnslink=/ipfs/$1" \
    "_dnslink.key.example=dnslink=/ipns/$name" \
    "_dnslink.two.example=dnslink=/ipfs/$1" "_dnslink.two.example=dnslink=/ipfs/$3" \
    "_dnslink.circle.example=dnslink=/ipns/circle.example"
  check "DNSLink" named /ipns/docs.example "$2" "$1"
  check "DNSLink to a name of a name" named ipns://Key.Example "$2" "$1"
  check "a name without a record" unnamed 69 "/ipns/$nobody"
  check "a domain without DNSLink" unnamed 69 /ipns/other.example
  check "two DNSLinks" unnamed 65 /ipns/two.example
  check "a circle of names" unnamed 65 /ipns/circle.example
  stop_resolver
  check "a resolver that is gone" unnamed 75 /ipns/docs.example
}
