"""Train on a table, save the network, load it, and try it on rows that it has not seen."""

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import backlit
from backlit.tables import RealMLPClassifier

X, y = load_breast_cancer(return_X_y=True)  # 569 rows, 30 columns; a pandas frame does as well
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
model = RealMLPClassifier(random_state=0).fit(X_train, y_train)
backlit.save(model, "table.safetensors")

again = backlit.load("table.safetensors")
print(f"right on {again.score(X_test, y_test):.1%} of {len(X_test)} rows that it has not seen")
