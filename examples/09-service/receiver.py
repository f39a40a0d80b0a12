"""Takes the service's webhooks: python receiver.py [port], with the secret in LLMX_WEBHOOK_SECRET."""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["LLMX_WEBHOOK_SECRET"].strip()
KEY = base64.b64decode(SECRET[6:]) if SECRET.startswith("whsec_") else SECRET.encode()
TOLERANCE_SECONDS = 300
LARGEST = 1_000_000
seen: set[str] = set()  # an event may come more than once; keep these where they outlive the process


def genuine(headers, body: bytes) -> bool:
    """Whether the service has sent this, lately: https://www.standardwebhooks.com."""
    sent = headers.get("Webhook-Timestamp", "")
    if not (sent.isascii() and sent.isdecimal()) or abs(time.time() - int(sent)) > TOLERANCE_SECONDS:
        return False
    signed = f"{headers.get('Webhook-Id')}.{sent}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256))
    given = headers.get("Webhook-Signature", "").encode().split()
    return any(hmac.compare_digest(expected, one) for one in given)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(int(length)) if length.isdecimal() and int(length) <= LARGEST else b""
        if not genuine(self.headers, body):
            self.send_error(401)
            return
        event = json.loads(body)
        if self.headers["Webhook-Id"] not in seen:
            seen.add(self.headers["Webhook-Id"])
            print(event["type"], event["data"]["id"], event["data"]["cost"], flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Standard output has the events alone."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8091
    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    print(f"http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
    server.serve_forever()
