"""WSGI applications in one server, each with the middleware, below a path of its own."""

from __future__ import annotations

from typing import Any

import bottle
import cherrypy
import falcon
import pypiserver
from webob import Request, Response
from webob.dec import wsgify
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from wsgidav.wsgidav_app import WsgiDAVApp

from hashwacht_plugins.request_body import RawBody
from hashwacht_plugins.wsgi import HashwachtMiddleware
from support.plugins.entries import django_entries, flask_entries
from support.plugins.entries.store import CHECKER, POLICY, directory, store

bottle_site = bottle.Bottle()


@bottle_site.post("/")  # type: ignore[untyped-decorator]  # its types are not read
def _bottle_upload() -> str:
    return store("bottle", bottle.request.files["picture"].file.read())


class _FalconUpload:
    def on_post(self, request: Any, response: Any) -> None:
        for part in request.get_media():
            response.text = store("falcon", part.stream.read())


falcon_site = falcon.App()
falcon_site.add_route("/", _FalconUpload())


class _CherryUpload:
    @cherrypy.expose  # type: ignore[untyped-decorator]  # as above
    def index(self, picture: Any) -> str:
        return store("cherrypy", picture.file.read())


@wsgify  # type: ignore[untyped-decorator]  # as above
def _webob_upload(request: Request) -> Response:
    return Response(store("webob", request.POST["picture"].file.read()))


def _dav() -> WsgiDAVApp:
    return WsgiDAVApp(
        {
            "provider_mapping": {"/": str(directory())},
            "simple_dc": {"user_mapping": {"*": True}},
            "verbose": 0,
            "logging": {"enable": False},
        }
    )


def _checked(application: Any, **more: Any) -> HashwachtMiddleware:
    return HashwachtMiddleware(application, checker=CHECKER, policy=POLICY, **more)


cherrypy.config.update({"environment": "embedded", "log.screen": False})
packages = directory() / "packages"
packages.mkdir(exist_ok=True)

app = DispatcherMiddleware(
    flask_entries.flask_site,
    {
        "/admin-site": flask_entries.admin_site,
        "/bottle": _checked(bottle_site),
        "/falcon": _checked(falcon_site),
        "/cherrypy": _checked(cherrypy.Application(_CherryUpload(), "/cherrypy")),
        "/webob": _checked(_webob_upload),
        "/dav": _checked(_dav(), raw=[RawBody(), RawBody(paths=["/dav/*"], types=["*"])]),
        "/pypi": _checked(pypiserver.app(roots=[packages], authenticate=[], password_file=".")),
        "/handler": django_entries.with_handler,
        "/middleware": django_entries.with_middleware,
    },
)
