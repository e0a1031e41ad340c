"""python -m spacy zeroshot explore, in a browser: type a label, see the table change, save, load, equal scores."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy

from ..util import LABELS, TEXTS, make_nlp, run_cli

pytestmark = pytest.mark.slow
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
# nothing is asked of the network, and nothing left on the disk
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MANY = ["<b>골키퍼가 페널티킥을 막았다</b> & won.", "استقال الوزير بعد التصويت.", " ".join(TEXTS * 20)]
# a busy machine is not an error
PATIENCE = 180


@pytest.fixture(scope="module")
def pipeline(decomposed_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    make_nlp(decomposed_folder).to_disk(folder)
    return folder


@pytest.fixture
def server(pipeline: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a running explorer. It ends by Ctrl-C."""
    (tmp_path / "texts.txt").write_text("\n".join([*TEXTS, *MANY]) + "\n", encoding="utf8")
    command = ["-m", "spacy", "zeroshot", "explore", str(tmp_path / "texts.txt"), "--pipeline", str(pipeline)]
    process = subprocess.Popen(
        [sys.executable, *command, "--no-open"], stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    yield next(found[0] for found in (re.search(r"http://127\.0\.0\.1:\d+", line) for line in lines) if found)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="the development extra is not installed")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no browser here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    # a phone: nothing is wider
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield driver
    driver.quit()


def test_type_a_label_see_the_table_change_save_and_load(browser: Any, server: str, tmp_path: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    def find(selector: str) -> Any:
        return browser.find_element("css selector", selector)

    def wait_for(script: str) -> Any:
        return WebDriverWait(browser, PATIENCE).until(lambda driver: driver.execute_script(f"return {script}"))

    def click(selector: str) -> None:
        browser.execute_script("arguments[0].click()", find(selector))

    browser.get(server)
    cards = "[...document.querySelectorAll('.card h3')].map((title) => title.textContent).join()"
    assert wait_for(cards) == ",".join(LABELS)
    texts = [element.get_attribute("textContent") for element in browser.find_elements("css selector", "#rows .text")]
    assert texts == [text for text in (*TEXTS, *MANY) if text]
    assert wait_for("document.documentElement.scrollWidth <= innerWidth")

    find("[name=labels]").send_keys("\nscience")
    wait_for(f"{cards} === '{','.join(LABELS)},science'")
    find("[name=threshold]").send_keys("0.4")
    wait_for("document.querySelector('.card').textContent.includes('threshold 0.4')")

    # the config is copied, or selected where the browser refuses
    config = wait_for("document.querySelector('#config pre').textContent")
    granted = {"origin": server, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    browser.execute_cdp_cmd("Browser.grantPermissions", granted)
    click("#copy")
    wait_for("document.querySelector('#copy').textContent === 'Copied'")
    read = "navigator.clipboard.readText().then(arguments[0], (error) => arguments[0](String(error)))"
    assert browser.execute_async_script(read) == config and "threshold = 0.4" in config
    browser.execute_script("navigator.clipboard.writeText = () => Promise.reject()")
    click("#copy")
    wait_for("document.querySelector('#copy').textContent.startsWith('Selected')")
    assert browser.execute_script("return getSelection().toString()").strip() == config.strip()

    # a wrong setting is said, and the page stays
    find("[name=templates]").send_keys(" {}")
    wait_for("document.querySelector('#message').textContent.includes('Z004')")
    find("[name=templates]").send_keys("\b\b\b")
    wait_for("document.querySelector('#message').textContent === ''")

    # the long text's windows, and an answer
    click(f"[data-look='{len(texts) - 1}']")
    assert "windows" in wait_for("document.querySelector('#look').open && document.querySelector('#look').textContent")
    click("#answer input[value=science]")
    click("#answer button")
    wait_for("document.querySelector('#corrections strong')?.textContent === '1'")

    # sorted by a label's score
    browser.execute_script("document.querySelector('#sort').value = '3'")
    browser.execute_script("document.querySelector('#sort').dispatchEvent(new Event('change', {bubbles: true}))")
    rows = browser.execute_script(
        "return [...document.querySelectorAll('#rows tbody tr')].map((row) => [+row.dataset.number, "
        "row.dataset.scores.trim().split(' ').map(Number)])"
    )
    last = [scores[-1] for _, scores in rows]
    assert last == sorted(last, reverse=True)

    find("#save [name=folder]").send_keys(str(tmp_path / "saved"))
    click("#save button")
    wait_for("document.querySelector('#saved').textContent.includes('Saved')")
    nlp = spacy.load(tmp_path / "saved")
    pipe: Any = nlp.get_pipe("zero_shot_textcat")
    assert pipe.labels == (*LABELS, "science") and pipe.threshold == 0.4
    for number, scores in rows:
        cats = nlp(texts[number]).cats
        assert scores == pytest.approx([cats[label] for label in pipe.labels], abs=1e-4)
    assert [entry for entry in browser.get_log("browser") if "422" not in entry["message"]] == []


def test_what_cannot_be_explored_is_said_at_once(tmp_path: Path) -> None:
    result = run_cli("explore", tmp_path / "none.jsonl", "--labels", "a,b", "--no-open")
    assert result.exit_code == 1 and "none.jsonl" in result.stderr and len(result.stderr.splitlines()) == 1
