"""What a reader waits for over a slow line, and that nothing jumps while a page loads."""

import pytest

# Ten megabits a second and forty milliseconds there and back: a middling line at home.
LINE = {"offline": False, "latency": 40, "downloadThroughput": 10e6 / 8, "uploadThroughput": 10e6 / 8}
WATCH = """
  window.watched = { largest: 0, shift: 0 };
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => { watched.largest = entry.startTime; }))
    .observe({ type: 'largest-contentful-paint', buffered: true });
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => { watched.shift += entry.value; }))
    .observe({ type: 'layout-shift', buffered: true });
"""


@pytest.mark.parametrize("name", ["index.html", "notebooks/play.html", "notebooks/mnist.html"])
def test_the_largest_content_is_soon_there_and_stays_where_it_is(browser, address, name):
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.add_init_script(WATCH)
    line = page.context.new_cdp_session(page)
    line.send("Network.enable")
    line.send("Network.emulateNetworkConditions", LINE)
    page.goto(f"{address}/{name}")
    page.wait_for_timeout(500)
    watched = page.evaluate("watched")
    page.context.close()
    assert 0 < watched["largest"] < 1500
    # Formulas that are set move the lines around them a little; figures and demonstrations have their room kept.
    assert watched["shift"] < 0.1
