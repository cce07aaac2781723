"""What Alertmanager calls: a receiver on loopback that keeps every notification."""

import http.server
import json
import threading

from router import free_port


class Pager:
    """`notifications`: (path, status, names of the alerts in it) in the order they came."""

    def __enter__(self):
        self.notifications, self.bodies = [], []
        kept, bodies = self.notifications, self.bodies

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
                for status in ("firing", "resolved"):
                    alerts = [alert for alert in body["alerts"] if alert["status"] == status]
                    if alerts:
                        names = sorted({alert["labels"]["alertname"] for alert in alerts})
                        kept.append((self.path.strip("/"), status, names))
                        bodies.append(alerts)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.port = free_port()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def url(self, receiver):
        return f"http://127.0.0.1:{self.port}/{receiver}"

    def forget(self):
        self.notifications.clear()
        self.bodies.clear()

    def heard(self, receiver, status):
        return [names for path, how, names in list(self.notifications) if (path, how) == (receiver, status)]
