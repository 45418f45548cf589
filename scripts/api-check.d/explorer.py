"""The explorer in headless Chromium, as somebody uses it."""

import json
import shutil
import urllib.request

from playwright.sync_api import sync_playwright

LIMIT_MS = 60_000


def check(url, work, token):
    """Opens the explorer, gives it a token and lets it make a call. Prints what is wrong; whether nothing is."""
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=30) as answer:
        document = json.load(answer)
    operations = sum(len(methods) for methods in document["paths"].values())
    wrong = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            # Root has no sandbox in a container; the only page is our own.
            args=["--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1600})
        page.set_default_timeout(LIMIT_MS)
        page.on("console", lambda message: wrong.append(f"console: {message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error in the page: {error}"))
        page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url} {request.failure}"))
        page.on("request", lambda request: wrong.extend(strange(request.url, url)))

        page.goto(f"{url}/explorer")
        page.wait_for_selector(".opblock")
        shown = page.locator(".opblock").count()
        if shown != operations:
            wrong.append(f"{shown} operations are shown, but {operations} are documented")
        page.screenshot(path=work / "explorer.png")

        status, body = call(page, token, work)
        if status != "200" or "frontend1" not in body:
            wrong.append(f"a call with a token was answered by {status}: {body[:500]}")
        browser.close()
    for problem in wrong:
        print(problem, flush=True)
    print(f"explorer: {operations} operations, a call with a token: {status}", flush=True)
    return not wrong


def strange(requested, url):
    """Whatever is asked for elsewhere."""
    if not requested.startswith((f"{url}/", "data:", "blob:")):
        yield f"asked for elsewhere: {requested}"


def call(page, token, work):
    """Gives the token to the button Authorize, and tries out the list of frontends."""
    page.locator(".auth-wrapper .btn.authorize").click()
    scheme = page.locator(".auth-container", has_text="adminToken")
    scheme.locator("input").fill(token)
    scheme.locator("button.authorize").click()
    page.locator(".btn-done").first.click()
    operation = page.locator("#operations-Frontends-listFrontends")
    operation.locator(".opblock-summary-control").click()
    operation.locator(".try-out__btn").click()
    operation.locator(".btn.execute").click()
    answer = operation.locator(".live-responses-table .response")
    answer.wait_for()
    status = answer.locator(".response-col_status").inner_text().strip()
    body = answer.locator(".highlight-code, pre").first.inner_text()
    operation.scroll_into_view_if_needed()
    page.screenshot(path=work / "explorer-call.png")
    return status.split()[0], body
