"""Apache with ModSecurity 2 and nginx with ModSecurity 3, configured as their page shows."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from support.clients.documentation import documented
from support.clients.hosting import GROUP, HARMLESS, LISTED, HostingMachine
from support.clients.servers import free_port, running

HOOK, SPOOL = "/usr/lib/hashwacht/hooks/modsecurity", "/var/cache/modsecurity"

APACHE = """\
ServerRoot {place}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {place}/pid
ErrorLog {place}/error.log
User www-data
Group www-data
LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule unique_id_module /usr/lib/apache2/modules/mod_unique_id.so
LoadModule cgi_module /usr/lib/apache2/modules/mod_cgi.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule security2_module /usr/lib/apache2/modules/mod_security2.so
ScriptAlias /upload {place}/upload
{rules}
"""

NGINX = """\
load_module /usr/lib/nginx/modules/ngx_http_modsecurity_module.so;
daemon off;
pid {place}/pid;
error_log {place}/error.log;
user www-data;
events {{}}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    client_max_body_size 10m;
    server {{
        listen 127.0.0.1:{port};
        {rules}
        location / {{ proxy_pass http://127.0.0.1:{backend}; }}
    }}
}}
"""


class StoringHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"stored")

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass


@contextmanager
def backend() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), StoringHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextmanager
def apache(place: Path, hook: Path) -> Iterator[str]:
    program = place / "upload"
    program.write_text('#!/bin/sh\ncat >/dev/null\nprintf "Content-Type: text/plain\\n\\nstored"\n')
    program.chmod(0o755)
    rules = documented("modsecurity", "apache", {HOOK: hook, SPOOL: place / "spool"})
    port = free_port()
    configuration = place / "apache.conf"
    configuration.write_text(APACHE.format(place=place, port=port, rules=rules))
    command = ("/usr/sbin/apache2", "-f", configuration, "-DFOREGROUND")
    with running(command, port, place / "log"):
        yield f"http://127.0.0.1:{port}/upload"


@contextmanager
def nginx(place: Path, hook: Path) -> Iterator[str]:
    rules = documented("modsecurity", "nginx", {HOOK: hook, SPOOL: place / "spool"})
    configuration, port = place / "nginx.conf", free_port()
    with backend() as behind:
        text = NGINX.format(place=place, port=port, rules=rules, backend=behind)
        configuration.write_text(text)
        command = ("/usr/sbin/nginx", "-c", configuration, "-p", place)
        with running(command, port, place / "log"):
            yield f"http://127.0.0.1:{port}/upload"


SERVERS = {"apache": apache, "nginx": nginx}


def status_of(address: str, *contents: bytes) -> int:
    files = [("file", (f"{number}.png", content)) for number, content in enumerate(contents)]
    return httpx.post(address, files=files, timeout=120).status_code


@pytest.mark.parametrize("name", SERVERS)
def test_a_listed_file_is_refused(name: str, machine: HostingMachine, place: Path) -> None:
    (place / "spool").mkdir()
    shutil.chown(place / "spool", GROUP, GROUP)
    with SERVERS[name](place, machine.hook("modsecurity")) as address:
        assert status_of(address, HARMLESS) == 200
        before = len(machine.contexts())
        assert status_of(address, LISTED) == 403
        assert status_of(address, HARMLESS, LISTED) == 403
        assert len(machine.contexts()) > before


@pytest.mark.parametrize("name", SERVERS)
def test_an_outage_is_no_pass_unless_configured(
    name: str, machine: HostingMachine, place: Path
) -> None:
    (place / "spool").mkdir()
    shutil.chown(place / "spool", GROUP, GROUP)
    absent = ("--socket", "/nowhere", "--seconds", "1")
    with SERVERS[name](place, machine.hook("modsecurity", *absent)) as address:
        assert status_of(address, HARMLESS) == 403
    passing = machine.hook("modsecurity", *absent, "--on-undetermined", "pass")
    with SERVERS[name](place, passing) as address:
        assert status_of(address, HARMLESS) == 200
