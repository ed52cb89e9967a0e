"""The extension in real Flask applications, called by Flask's own test client."""

from __future__ import annotations

import io

import pytest
from flask import Flask, request, session
from flask.typing import ResponseReturnValue
from werkzeug.test import TestResponse

from hashwacht import Checker, Outcome
from hashwacht_plugins.context import ClientInfo
from hashwacht_plugins.flask import Hashwacht
from hashwacht_plugins.policy import OnMatch, Policy, UploadAction
from support.plugins.uploads import KNOWN


def site(hashwacht: Hashwacht, **settings: object) -> Flask:
    """Make an application behind *hashwacht* with these *settings*."""
    app = Flask(__name__)
    app.config["HASHWACHT"] = settings

    @app.post("/")
    def take() -> ResponseReturnValue:
        size = len(request.files["picture"].read())
        findings = hashwacht.findings
        assert findings is not None
        outcomes = [file_result.result.outcome for file_result in findings.files]
        return {"size": size, "action": findings.action, "known": outcomes}

    @app.get("/text")
    def text() -> ResponseReturnValue:
        return {"found": hashwacht.findings is not None, "text": request.args["text"]}

    hashwacht.init_app(app)
    return app


def post(app: Flask, content: bytes) -> TestResponse:
    return app.test_client().post("/", data={"picture": (io.BytesIO(content), "a.jpg")})


def test_a_match_is_refused_and_other_files_reach_the_view(
    checker: Checker,
) -> None:
    app = site(Hashwacht(checker=checker))
    assert post(app, KNOWN).status_code == 403
    stored = post(app, b"other")
    assert (stored.status_code, stored.json) == (
        200,
        {"size": 5, "action": UploadAction.ALLOW, "known": [Outcome.NO_MATCH]},
    )


def test_the_log_has_the_match_and_no_error(
    checker: Checker, caplog: pytest.LogCaptureFixture
) -> None:
    app = site(Hashwacht(checker=checker))
    without_end = {
        "wsgi.input_terminated": True
    }  # as waitress sets it: Werkzeug then ignores the length
    answer = app.test_client().post(
        "/", data={"picture": (io.BytesIO(KNOWN), "a.jpg")}, environ_base=without_end
    )
    assert answer.status_code == 403
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "an upload matches: 'csam knows " in caplog.text


def test_the_callback_for_the_user_may_ask_flask_itself(checker: Checker) -> None:
    requests: list[object] = []
    client_info = ClientInfo(user=lambda _: requests.append(session.get("user")))
    app = site(Hashwacht(checker=checker, client_info=client_info))
    app.secret_key = "for tests"
    with app.test_client() as client:
        with client.session_transaction() as signed_in:
            signed_in["user"] = "alice"
        client.post("/", data={"picture": (io.BytesIO(KNOWN), "a.jpg")})
    assert requests == ["alice"]


def test_the_configuration_overrides_the_code(checker: Checker) -> None:
    app = site(Hashwacht(checker=checker, policy=Policy()), policy=Policy(on_match=OnMatch.HOLD))
    test_response = post(app, KNOWN)
    assert test_response.json == {"size": 11, "action": UploadAction.HOLD, "known": [Outcome.MATCH]}


def test_an_unchecked_request_has_no_findings(checker: Checker) -> None:
    app = site(Hashwacht(checker=checker))
    answer = app.test_client().get("/text?text=x")
    assert answer.json == {"found": False, "text": "x"}


def test_it_wraps_any_number_of_applications_once_each(checker: Checker) -> None:
    hashwacht = Hashwacht(checker=checker)
    apps = [site(hashwacht), site(hashwacht)]
    for app in apps:
        assert post(app, KNOWN).status_code == 403
        assert app.extensions["hashwacht"] is hashwacht
    with pytest.raises(RuntimeError, match="already"):
        hashwacht.init_app(apps[0])
