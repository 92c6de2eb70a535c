"""The JavaScript module in a browser."""

import json

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from backlit import MLPClassifier
from backlit.formats.export.exporting import prepare
from backlit.formats.export.javascript_form import write_javascript
from report.browser import launched


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_page_predicts_and_tests_itself():
    X = np.random.default_rng(0).normal(2, 3, (80, 3))
    network = MLPClassifier((5,), activation="gelu", max_iter=5)
    fitted = make_pipeline(StandardScaler(), network).fit(
        X, np.where(X[:, 0] > 2, "<b>", "</script>")
    )
    job = prepare(fitted, inputs=X)
    code = write_javascript(job).decode()
    code += f"""
const rows = {json.dumps(X[:5].tolist())};
document.title = JSON.stringify([rows.map(predictProba), rows.map(predict), selfTest().passed]);
"""
    with launched() as browser:
        page = browser.new_page()
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.set_content(f'<meta charset="utf-8"><script type="module">{code}</script>')
        page.wait_for_function("document.title !== ''")
        assert complaints == []
        probabilities, classes, passed = json.loads(page.title())
    assert passed
    expected = fitted.predict_proba(X[:5])
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=job.bound("float64").error)
    assert classes == fitted.predict(X[:5]).tolist()
