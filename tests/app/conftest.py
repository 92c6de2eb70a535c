import functools
import http.server
import importlib.util
import sys
import threading
import time
from pathlib import Path

import pytest

from app.browsing import settled
from backlit.app.server import create_app
from backlit.app.serving import open_socket
from backlit.photos import Recipe, train
from backlit.photos.classifier import PhotoClassifier
from backlit.photos.saliency import maps
from report.browser import launched
from sample_pictures import day_picture, night_picture, save_class


@pytest.fixture(scope="session", autouse=True)
def few_variants():
    """Maps of fewer pictures, to be quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "VARIANTS", 2)
        yield


@pytest.fixture(scope="session")
def shipped():
    return PhotoClassifier.load()


@pytest.fixture(scope="session")
def client(shipped):
    from starlette.testclient import TestClient

    return TestClient(create_app(shipped), base_url="http://127.0.0.1:8421")


def dusk_picture(generator):
    picture = day_picture(generator).astype(float) * (0.8, 0.4, 0.3)
    return picture.astype("uint8")


@pytest.fixture(scope="session")
def three_classes(tmp_path_factory):
    """A model of one's own, with names that HTML would trip over."""
    root = tmp_path_factory.mktemp("three") / "photos"
    save_class(root / "day & <b>noon", day_picture, 8, 0)
    save_class(root / "dusk", dusk_picture, 8, 10)
    save_class(root / "night", night_picture, 8, 20)
    trained = train(root, Recipe(members=2, epochs=4, copies=1), warn=lambda text: None)
    return trained.classifier


class Served:
    """A server of its own thread."""

    def __init__(self, classifier, sorting=None):
        import uvicorn

        listening = open_socket("127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(
            create_app(classifier, sorting=sorting), log_level="critical", lifespan="off", ws="none"
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [listening]}, daemon=True
        )
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def end(self):
        self.server.force_exit = self.server.should_exit = True
        self.thread.join(5)


@pytest.fixture(scope="session")
def address(shipped):
    served = Served(shipped)
    yield served.address
    served.end()


@pytest.fixture(scope="session")
def address_of_three(three_classes):
    served = Served(three_classes)
    yield served.address
    served.end()


@pytest.fixture(scope="session")
def see_page():
    """The module that writes the static page."""
    path = Path(__file__).parents[2] / "docs" / "see_page.py"
    spec = importlib.util.spec_from_file_location("see_page", path)
    module = sys.modules["see_page"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    """What `python -m http.server` answers with, without its log."""

    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def static_folder(see_page, tmp_path_factory):
    """The static page as files, in a folder below the root of its server."""
    root = tmp_path_factory.mktemp("site")
    see_page.write_see(root / "some" / "where")
    return root


@pytest.fixture(scope="session")
def static_address(static_folder):
    handler = functools.partial(QuietFiles, directory=static_folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture(scope="module")  # while it is open, no other test may use Playwright
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(params=["server", "static"])
def visit_steps(request, visit):
    """Open the network step by step: on the server, and as files that compute by themselves."""
    if request.param == "server":
        return functools.partial(visit, "/steps")
    base = request.getfixturevalue("static_address")
    return functools.partial(visit, "/some/where/see/steps.html", base=base)


@pytest.fixture(scope="module")
def kept_page(browser):
    """A page for one test after the other: a new one has its code compiled anew, for a second."""
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture
def visit(browser, kept_page, address):
    """Open a page; at the end nothing may have been complained of or asked for elsewhere."""
    opened, asked, complaints = [], [], []
    allowed = {address}
    listeners = {
        "request": lambda request: asked.append(request.url),
        "console": lambda message: complaints.append(message.text),
        "pageerror": lambda error: complaints.append(str(error)),
    }

    def open_page(path, width=1280, height=900, base=address, color_scheme="light"):
        allowed.add(base)
        page = browser.new_page() if opened else kept_page
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=color_scheme)
        page.set_default_timeout(15_000)
        for event, listener in listeners.items():
            page.on(event, listener)
        opened.append(page)
        page.goto(base + path)
        settled(page)
        return page

    yield open_page
    for page in opened:
        if page is kept_page and page.url.startswith("http"):
            page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
            page.goto("about:blank")
            for event, listener in listeners.items():
                page.remove_listener(event, listener)
            page.context.clear_cookies()
        else:
            page.close()
    # A refused request (422) is something that Chromium logs by itself.
    own = [one for one in complaints if "status of 422" not in one]
    assert own == []
    elsewhere = [
        url
        for url in asked
        if not url.startswith(("data:", "blob:", *(f"{one}/" for one in allowed)))
    ]
    assert elsewhere == []
