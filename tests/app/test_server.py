import io
import time
from functools import partial

import anyio
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import backlit
from app.documents import document
from backlit.app import bodies, server
from backlit.app.guard import HEADERS, is_loopback
from backlit.app.server import create_app
from backlit.photos.features import SIDE, extract_features
from backlit.photos.reading import reduce_picture
from backlit.photos.saliency.explaining import explain
from sample_pictures import day_picture, night_picture

JSON = {"content-type": "application/json"}
BYTES = {"content-type": "application/octet-stream"}


def png(maker=night_picture, seed=0):
    buffer = io.BytesIO()
    Image.fromarray(maker(np.random.default_rng(seed))).save(buffer, format="PNG")
    return buffer.getvalue()


# ------------------------------------------------------------------------------------ who may ask


@pytest.mark.parametrize("path", ["/", "/steps", "/api/model", "/static/style.css", "/nothing"])
def test_every_answer_forbids_the_page_to_ask_elsewhere(client, path):
    answer = client.get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.status_code == (404 if path == "/nothing" else 200)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8421"}, 200),
        ({"host": "[::1]:8421"}, 200),
        ({"host": "127.0.0.2"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example:8421"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "192.168.0.7:8421"}, 403),
        ({"host": "localhost@evil.example"}, 403),
        ({"host": "[::1"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://127.0.0.1:8421"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"content-type": "text/plain"}, 403),
        ({"content-type": "application/x-www-form-urlencoded"}, 403),
        ({"content-type": "multipart/form-data; boundary=x"}, 403),
    ],
)
def test_pages_of_others_are_turned_away(client, headers, status):
    asked = {"name": "xor", "count": 10, "noise": 0.0, "seed": 0}
    answer = client.post("/api/dataset", json=asked, headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["error"]


def test_two_hosts_are_one_too_many(client):
    hosts = [("host", "127.0.0.1:8421"), ("host", "127.0.0.1:8421")]
    assert client.get("/", headers=hosts).status_code == 403


def test_a_server_for_others_answers_to_figures_and_its_name(shipped):
    client = TestClient(create_app(shipped, "0.0.0.0"), base_url="http://192.168.0.7:8421")
    assert client.get("/").status_code == 200
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403
    assert client.get("/", headers={"origin": "http://evil.example"}).status_code == 403


def test_loopback():
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.9.9.9", "::1"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.0.7", "example.org"]))


@pytest.mark.parametrize(
    ("path", "limit"), [("/api/photo", "MAX_PHOTO"), ("/api/table", "MAX_REQUEST")]
)
def test_what_is_too_large_is_not_read(shipped, monkeypatch, path, limit):
    monkeypatch.setattr(server, limit, 1000)
    client = TestClient(create_app(shipped), base_url="http://127.0.0.1")
    assert client.post(path, content=bytes(1001), headers=BYTES).status_code == 413
    chunks = (bytes(100) for _ in range(11))  # nothing says beforehand how long it is
    assert client.post(path, content=chunks, headers=BYTES).status_code == 413
    assert client.post(path, content=bytes(1000), headers=BYTES).status_code == 422


def test_a_fault_of_the_server_has_the_headers_and_no_traceback(shipped, monkeypatch):
    monkeypatch.setattr(server, "dataset", lambda *_: 1 / 0)
    app = create_app(shipped)
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    asked = {"name": "xor", "count": 10, "noise": 0.0, "seed": 0}
    answer = client.post("/api/dataset", json=asked)
    assert answer.status_code == 500
    assert answer.json()["error"]
    assert "Zero" not in answer.text
    for name, value in HEADERS.items():
        assert answer.headers[name] == value


class Uploads:
    """Requests whose bodies come piece by piece, straight to the application."""

    def __init__(self, app):
        self.app = app

    async def send(self, pieces, path="/api/photo", pause=0.0):
        """Send pieces, and no end; returns status, headers and text."""
        kind = [(b"host", b"127.0.0.1"), (b"content-type", b"application/octet-stream")]
        scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": kind, "http_version": "1.1", "scheme": "http",
            "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        left, answer = list(pieces), {"text": b""}

        async def receive():
            if not left:
                await anyio.sleep_forever()
            await anyio.sleep(pause)
            return {"type": "http.request", "body": left.pop(0), "more_body": True}

        async def send(message):
            if message["type"] == "http.response.start":
                answer["status"], answer["headers"] = message["status"], dict(message["headers"])
            else:
                answer["text"] += message.get("body", b"")

        await self.app(scope, receive, send)
        return answer


def test_open_uploads_are_bounded_in_sum(shipped, monkeypatch):
    monkeypatch.setattr(bodies, "MAX_OPEN", 5_000)
    monkeypatch.setattr(bodies, "PAUSE", 0.4)
    app = create_app(shipped)
    answers = []

    async def upload():
        answers.append(await Uploads(app).send([bytes(1000)]))

    async def many():
        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(upload)

    anyio.run(many)
    statuses = [answer["status"] for answer in answers]
    assert statuses.count(503) == 7  # at once; the five that fit wait for more
    assert statuses.count(408) == 5
    for answer in answers:
        assert answer["headers"][b"connection"] == b"close"
        assert answer["headers"][b"x-content-type-options"] == b"nosniff"
        assert b"error" in answer["text"]
    client = TestClient(app, base_url="http://127.0.0.1")  # what was held is free again
    assert client.post("/api/photo", content=bytes(4_900), headers=BYTES).status_code == 422


def test_an_upload_of_small_pieces_ends_too(shipped, monkeypatch):
    monkeypatch.setattr(bodies, "WHOLE", 0.3)
    app = create_app(shipped)
    began = time.monotonic()
    answer = anyio.run(partial(Uploads(app).send, [b"x"] * 10_000, pause=0.02))
    assert answer["status"] == 408
    assert time.monotonic() - began < 10


def test_an_upload_that_is_whole_is_not_hurried(client):
    assert client.post("/api/photo", content=png(), headers=BYTES).status_code == 200


@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus", "elu"])
@pytest.mark.parametrize("size", [1e154, 1e300, 1e308, -1e308])
def test_huge_weights_have_a_finite_answer_or_a_sentence(client, activation, size):
    points = client.post(
        "/api/dataset", json={"name": "moons", "count": 12, "noise": 0.1, "seed": 0}
    ).json()
    drawn = client.post(
        "/api/network", json={"hidden": [4, 3], "activation": activation, "seed": 1}
    ).json()["parameters"]
    for name in drawn:
        changed = {**drawn, name: np.full_like(np.array(drawn[name]), size).tolist()}
        asked = {
            **points, "parameters": changed, "activation": activation, "learning_rate": 0.3,
            "scaling": {"mean": [0, 0], "scale": [1, 1]}, "classes": ["a", "b"],
            "field": True, "steps": 1,
        }  # fmt: skip
        for path in ("/api/pass", "/api/train", "/api/code", "/api/safetensors"):
            answer = client.post(path, json=asked)
            assert answer.status_code in (200, 422), (name, path)
            assert "NaN" not in answer.text
            if answer.status_code == 422:
                assert "double precision" in answer.json()["error"]


def test_files_beside_the_static_ones_are_not_served(client):
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static/"):
        assert client.get(path).status_code == 404


# ----------------------------------------------------------------------------------- photographs


@pytest.mark.parametrize(("maker", "label"), [(night_picture, None), (day_picture, "night")])
def test_a_photograph_s_numbers_are_the_library_s(client, shipped, tmp_path, maker, label):
    data = png(maker)
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    query = f"?label={label}" if label else ""
    found = client.post(f"/api/photo{query}", content=data, headers=BYTES).json()
    expected = explain(path, shipped, label=label)
    assert found["label"] == expected.label
    assert found["probabilities"] == list(expected.probabilities)
    assert found["predicted"] == ("night" if maker is night_picture else "day")
    assert (found["log_odds"], found["start"]) == (expected.log_odds, expected.start)
    assert [one["push"] for one in found["reasons"]] == [one.push for one in expected.reasons]
    square = reduce_picture(maker(np.random.default_rng(0)), SIDE)[0]
    A0 = shipped.standardise(extract_features(square[None])).T
    Y = np.array([[shipped.classes.index(expected.label)]], dtype=np.float32)
    AL, caches = backlit.model_forward(A0, shipped.parameters, activations=shipped.activations)
    grads = backlit.model_backward(AL, Y, caches, activations=shipped.activations)
    assert found["layers"][-1]["A"] == AL[:, 0].tolist()
    for layer, cache in zip(found["layers"], caches, strict=True):
        assert layer["Z"] == cache.activation_cache[:, 0].tolist()
        if layer["number"] < len(caches):
            assert layer["dA"] == grads[f"dA{layer['number']}"][:, 0].tolist()
    for one in found["features"]:
        place = backlit.photos.features.feature_names().index(one["name"])
        assert (one["A0"], one["dA0"]) == (A0[place, 0], grads["dA0"][place, 0])
    passed = backlit.trace(A0, Y, shipped.parameters, activations=shipped.activations)
    assert found["cost"] == passed.cost
    assert [one["text"] for one in found["table"]["remarks"]] == [str(o) for o in passed.remarks]
    assert found["table"]["columns"][4]["name"] == "silent"  # of one picture no unit is dead
    for name in ("picture", "overlay"):
        assert found[name].startswith("data:image/webp;base64,")


@pytest.mark.parametrize("number", [10, 9])
def test_rendered_scenes(client, number):
    data = client.get(f"/api/scene/{number}")
    assert data.headers["content-type"] == "image/webp"
    assert client.get(f"/api/scene/{number}").content == data.content
    found = client.post("/api/photo", content=data.content, headers=BYTES).json()
    assert found["predicted"] == ("day", "night")[number % 2]
    assert client.get("/api/scene/-1").status_code == 404


def test_several_classes(three_classes):
    client = TestClient(create_app(three_classes), base_url="http://127.0.0.1")
    model = client.get("/api/model").json()
    assert model["classes"] == list(three_classes.classes)
    assert model["layers"][-1] == 3
    for label in three_classes.classes:
        found = client.post(
            "/api/photo", content=png(), headers=BYTES, params={"label": label}
        ).json()
        assert found["label"] == label
        assert sum(found["probabilities"]) == pytest.approx(1, abs=1e-6)
        k = three_classes.classes.index(label)
        output = np.array(found["layers"][-1]["A"])
        np.testing.assert_allclose(output, found["probabilities"], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(
            found["layers"][-1]["dZ"], output - np.eye(3)[k], rtol=1e-4, atol=1e-6
        )
        assert found["cost"] == pytest.approx(-np.log(output[k]), rel=1e-4)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello, this is text", "not a picture"),
        (png()[:400], "PNG file"),
    ],
)
def test_a_broken_picture_says_why(client, data, reason):
    answer = client.post("/api/photo", content=data, headers=BYTES)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert reason in error
    assert "/tmp" not in error
    assert "backlit-" not in error


def test_a_class_that_the_model_does_not_know(client):
    answer = client.post("/api/photo?label=dusk", content=png(), headers=BYTES)
    assert answer.status_code == 422
    assert "its classes are day, night" in answer.json()["error"]


# ------------------------------------------------------------------------------------- the plane


@pytest.mark.parametrize(
    ("path", "given", "reason"),
    [
        ("dataset", {"name": "rings"}, "dataset is 'rings'"),
        ("dataset", {"count": 0}, "count is 0, expected a whole number from 2 to 1000"),
        ("dataset", {"count": True}, "count is True"),
        ("dataset", {"noise": float("nan")}, "noise is nan"),
        ("dataset", {"seed": 1.5}, "seed is 1.5"),
        ("network", {"hidden": [9]}, "at most 4 layers of 1 to 8 units"),
        ("network", {"hidden": [4] * 5}, "at most 4 layers"),
        ("network", {"hidden": 3}, "hidden is 3"),
        ("network", {"activation": "softmax"}, "activation is 'softmax', expected one of identity"),
        ("pass", {"X": [[], []], "Y": []}, "There are no points yet"),
        ("pass", {"X": [[1.0], [2.0], [3.0]]}, "X has shape (3, 1)"),
        ("pass", {"X": [[1.0, 2.0], [3.0]]}, "X is"),
        ("pass", {"X": [[0.0] * 1001] * 2}, "at most 1,000"),
        ("pass", {"X": [[1e999, 0.0], [0.0, 0.0]]}, "expected finite numbers"),
        ("pass", {"Y": [2] * 12}, "expected 12 labels, each 0 or 1"),
        ("pass", {"Y": [1]}, "expected 12 labels"),
        ("pass", {"learning_rate": -1}, "learning_rate is -1, expected a number from 0 to 1000"),
        ("pass", {"learning_rate": None}, "learning_rate is None"),
        ("pass", {"classes": ["a"]}, "classes is"),
        ("pass", {"scaling": {"mean": [0, 0], "scale": [0, 1]}}, "two positive scales"),
        ("pass", {"scaling": 3}, "scaling is 3, expected an object"),
        ("pass", {"parameters": {}}, "parameters are none"),
        ("pass", {"parameters": {"W1": [[1.0, 2.0]]}}, "expected W1, b1, ..., WL, bL"),
        ("pass", {"parameters": {"W1": [[1.0]], "b1": [[0.0]]}}, "W1 has shape (1, 1)"),
        ("pass", {"parameters": {"W1": [[1.0, 2.0]], "b1": [0.0]}}, "b1 has shape (1,)"),
        ("pass", {"parameters": {"W1": [[1, 2]] * 2, "b1": [[0]] * 2}}, "one output"),
        ("train", {"steps": 0}, "steps is 0"),
        ("train", {"steps": 10**6}, "steps is 1000000, expected a whole number from 1 to 1000"),
        ("code", {"activation": 3}, "activation is 3, expected a string"),
        ("safetensors", {"Y": "x"}, "Y is 'x'"),
    ],
)
def test_what_does_not_fit_is_said(client, path, given, reason):
    import json

    whole = {
        **document(),
        "name": "moons",
        "count": 10,
        "noise": 0.1,
        "seed": 0,
        "hidden": [4],
        "steps": 3,
        **given,
    }
    answer = client.post(f"/api/{path}", content=json.dumps(whole), headers=JSON)
    assert answer.status_code == 422
    assert reason in answer.json()["error"]


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"\xff", 400), (b"[" * 100_000, 400), (b"[1]", 422), (b"null", 422)],
)
def test_no_json_is_no_accident(client, content, status):
    answer = client.post("/api/pass", content=content, headers=JSON)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_files_to_take_away(client):
    code = client.post("/api/code", json=document())
    assert code.headers["content-disposition"] == 'attachment; filename="network.py"'
    assert "def model_backward" in code.text
    model = client.post("/api/safetensors", json=document())
    assert model.headers["content-disposition"] == 'attachment; filename="network.safetensors"'
    assert model.content[8:9] == b"{"


def test_a_table_over_http(client):
    answer = client.post("/api/table", content=b"1,2,a\n3,4,b\n", headers=BYTES)
    assert answer.json()["classes"] == ["a", "b"]
    answer = client.post("/api/table", content=b"1,2\n", headers=BYTES)
    assert answer.status_code == 422
    assert "row 1" in answer.json()["error"]
