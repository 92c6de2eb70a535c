"""Tables in files, and the commands for them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import backlit
from backlit.cli.app import app
from backlit.errors import ModelFileError, SettingError
from backlit.photos.classifier import PhotoClassifier
from backlit.tables import RealMLPRegressor
from backlit.tables.files import TableFileError, read_file, targets_of


def _write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_as_people_write_it(tmp_path):
    path = _write(
        tmp_path / "a.csv",
        "\ufeffname,age,late,when,hole\nAnn,3,true,2026-01-02,\nBob,4.5,False,2026-02-03,NA\n"
        '"C, D",NA,,2026-03-04,\n',
    )
    file = read_file(path)
    assert file.names == ["name", "age", "late", "hole"]
    assert file.dates == ["when"]
    name, age, late, hole = file.table.columns
    assert name.levels == ("Ann", "Bob", "C, D")
    np.testing.assert_array_equal(age.numbers, [3, 4.5, np.nan])
    np.testing.assert_array_equal(late.codes, [1, 0, -1])
    assert np.isnan(hole.numbers).all()
    german = _write(tmp_path / "b.csv", "ort;preis\nKöln;1,5\nBonn;2\n")
    np.testing.assert_array_equal(read_file(german).column("preis").numbers, [1.5, 2.0])
    (tmp_path / "c.csv").write_bytes("ort;preis\nKöln;1,5\nBonn;2\n".encode("cp1252"))
    assert read_file(tmp_path / "c.csv").column("ort").levels == ("Bonn", "Köln")


def test_numbers_as_people_write_them(tmp_path):
    path = _write(
        tmp_path / "a.csv",
        'price,share,money,size,part,zip\n"$1,200.50",12%,€ 3,5 kg,"1,23","1,234-5"\n'
        '"-$2,000",3.5 %,4 €,6 kg,"4,56","1,235-6"\n950,NA,−5,7 kg,"7,89","1,236-7"\n',
    )
    file = read_file(path)
    np.testing.assert_array_equal(file.column("price").numbers, [1200.5, -2000, 950])
    np.testing.assert_array_equal(file.column("share").numbers, [12, 3.5, np.nan])
    np.testing.assert_array_equal(file.column("money").numbers, [3, 4, -5])
    for name in ("size", "part", "zip"):
        assert file.column(name).numbers is None
    path = _write(
        tmp_path / "b.csv",
        "preis;anteil;us;punkt\n1.200,50 €;12,5%;$1,200.50;1.5\n-1.950;3;2,000;2.5\n"
        "7;4e1;3;3.125\n",
    )
    file = read_file(path)
    np.testing.assert_array_equal(file.column("preis").numbers, [1200.5, -1950, 7])
    np.testing.assert_array_equal(file.column("anteil").numbers, [12.5, 3, 40])
    np.testing.assert_array_equal(file.column("us").numbers, [1200.5, 2000, 3])
    np.testing.assert_array_equal(file.column("punkt").numbers, [1.5, 2.5, 3.125])


@pytest.mark.parametrize(
    "cell", ["2026-01-02", "2026/1/2 10:00", "2.1.2026", "01/02/26", "Jan 2 2026", "2 March 2026"]
)
def test_dates_are_seen(tmp_path, cell):
    path = _write(tmp_path / "a.csv", f"x,when\n1,{cell}\n2,{cell}\n")
    assert read_file(path).dates == ["when"]


def test_what_only_looks_like_a_date_is_none(tmp_path):
    path = _write(tmp_path / "a.csv", "version,part,may\n1.2.3.4,12-34-56-78,may 5\n1.2,x,y\n")
    assert read_file(path).dates == []


@pytest.mark.parametrize(
    "text",
    [
        '"","a","b"\n"1",5,"x"\n"2",7,"y"\n"3",7,"y"\n',  # R's write.csv
        '"a","b"\n"1",5,"x"\n"2",7,"y"\n"3",7,"y"\n',  # R's write.table
        '"a" "b"\n"Ann" 5 "x"\n"Bob" 7 "y"\n"Cleo" 7 "y"\n'.replace(" ", "\t"),
        ",a,b\n0,5,x\n1,7,y\n2,7,y\n",  # pandas
        "rownames,a,b\nAnn,5,x\nBob,7,y\nCleo,7,y\n",
        "a,Id,b\n5,1,x\n7,2,y\n7,3,y\n",
        "a,b,,\n5,x,,\n7,y,,\n7,y,,\n",  # lines that end with separators
        "a,b,Shoot ID\n5,x,1\n7,y,2\n7,y,3\n" + "".join(f"7,y,{i}\n" for i in range(4, 11)),
        "frame,a,b\n0,5,x\n1,7,y\n2,7,y\n" + "".join(f"{i},7,y\n" for i in range(3, 10)),
    ],
)
def test_what_numbers_the_rows_is_told_apart(tmp_path, text):
    file = read_file(_write(tmp_path / "a.csv", text))
    assert [name for name in file.names if name not in file.numbering] == ["a", "b"]
    np.testing.assert_array_equal(file.column("a").numbers[:3], [5, 7, 7])
    assert len(file.numbering) == (0 if text.startswith("a,b,,") else 1)


def test_what_does_not_number_the_rows_is_kept(tmp_path):
    for text in (
        "id,a\n7,1\n9,2\n4,3\n",  # numbers that may mean something
        "x,a\n" + "".join(f"{i},5\n" for i in range(1, 10)),  # too few to tell
        "x,a\n" + "".join(f"{i},5\n" for i in range(2, 22)),  # from 2
        "x,a\n2,5\n1,5\n" + "".join(f"{i},5\n" for i in range(3, 22)),  # in another order
        ",a\nx,1\nx,2\ny,3\n",  # no name, but categories
    ):
        file = read_file(_write(tmp_path / "a.csv", text))
        assert (len(file.names), file.numbering) == (2, [])


def test_parquet_is_the_same_table(tmp_path):
    frame = pd.DataFrame({"a": [1.5, None], "b": ["x", "y"], "when": pd.to_datetime(["2026"] * 2)})
    frame.to_parquet(tmp_path / "a.parquet")
    file = read_file(tmp_path / "a.parquet")
    assert file.names == ["a", "b"]
    assert file.dates == ["when"]
    np.testing.assert_array_equal(file.column("a").numbers, [1.5, np.nan])


def test_files_that_are_no_tables(tmp_path):
    for text, message in (
        (
            "a,b\n1,2\n3\n",
            r"row 2 \(row 1 is the first below the names\) has 1 cell, expected 2 because",
        ),
        ("a,a\n1,2\n", "two columns that are named 'a'"),
        ("a,b\n1,2,3\n4,5\n", r"row 1 \(.*\) has 3 cells, expected 2"),
        ("a,b\n", "has 1 line, expected the names of columns and at least one row"),
    ):
        with pytest.raises(TableFileError, match=message):
            read_file(_write(tmp_path / "a.csv", text))
    with pytest.raises(TableFileError, match="no such file"):
        read_file(tmp_path / "none.csv")
    (tmp_path / "z.csv").write_bytes(b"PK\x03\x04 ...")
    with pytest.raises(TableFileError, match=r"is no text, expected CSV, or Parquet"):
        read_file(tmp_path / "z.csv")


def test_what_a_target_is(tmp_path):
    path = _write(tmp_path / "a.csv", "text,two,many,same\na,0,1.5,x\nb,1,2.5,x\n,0,3.5,x\n")
    file = read_file(path)
    rows, y, kind = targets_of(file.column("text"), None)
    assert (rows.tolist(), y.tolist(), kind) == ([0, 1], ["a", "b"], "classes")
    assert targets_of(file.column("two"), None)[2] == "classes"
    assert targets_of(file.column("two"), "numbers")[2] == "numbers"
    assert targets_of(file.column("many"), None)[2] == "numbers"
    with pytest.raises(TableFileError, match="holds text, such as 'a', expected numbers"):
        targets_of(file.column("text"), "numbers")
    with pytest.raises(TableFileError, match="has 1 different values, expected at least two"):
        targets_of(file.column("same"), None)


@pytest.fixture
def houses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    area, town = rng.normal(90, 20, 120), rng.choice(["Aachen", "Bonn", "<b>"], 120)
    frame = pd.DataFrame({"area": area, "town": town, "price": 2 * area + 9 * (town == "Bonn")})
    frame.loc[3, "area"] = None
    frame.loc[5, "price"] = None
    frame["sold"] = np.where(frame["price"] > 180, "yes", "no")
    frame.to_csv("houses.csv", index=False)
    return frame


def _run(*words):
    found = CliRunner().invoke(app, ["table", *words])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


QUICK = ("--epochs", "12", "--folds", "3")


def test_what_numbers_the_rows_is_not_learnt_from(houses):
    ranked = houses.dropna().sort_values("price").reset_index(drop=True)
    ranked[["price", "town"]].to_csv("ranked.csv")  # whose first column tells the price
    found = _run("train", "ranked.csv", "-t", "price", *QUICK)
    assert found.exit_code == 0, found.output
    assert "left out, because they only number the rows: (without a name);" in " ".join(
        found.output.split()
    )
    model = backlit.load("model.safetensors")
    assert model.feature_names_in_.tolist() == ["town"]
    # a model that learnt from a column finds it, whatever a file's rows make it look like
    houses.rename(columns={"area": "id"}).to_csv("ids.csv", index=False)
    _run("train", "ids.csv", "-t", "price", "--without", "sold", "-m", "ids.safetensors", *QUICK)
    _write(Path("one.csv"), "id,town\n1,Bonn\n2,Bonn\n")
    found = _run("predict", "one.csv", "--model", "ids.safetensors")
    assert found.exit_code == 0, found.output
    with pytest.raises(SettingError, match="'' only numbers the rows, which cannot be predicted"):
        CliRunner().invoke(
            app, ["table", "train", "ranked.csv", "-t", "", *QUICK], catch_exceptions=False
        )


def test_what_numbers_the_rows_is_kept_where_that_is_wanted(houses):
    houses.insert(1, "day of sale", np.arange(1, len(houses) + 1))
    houses.to_csv("days.csv", index=False)
    words = ("train", "days.csv", "-t", "price", "--without", "sold", *QUICK)
    said = " ".join(_run(*words).output.split())
    assert "number the rows: day of sale; --keep COLUMN learns from one all the same" in said
    assert backlit.load("model.safetensors").feature_names_in_.tolist() == ["area", "town"]
    said = _run(*words, "--keep", "day of sale", "--force").output
    assert "left out, because" not in said
    names = backlit.load("model.safetensors").feature_names_in_.tolist()
    assert names == ["area", "day of sale", "town"]
    target = ("train", "days.csv", "-t", "day of sale", "--without", "sold", *QUICK, "--force")
    with pytest.raises(SettingError, match="--keep 'day of sale' takes it as a number"):
        CliRunner().invoke(app, ["table", *target], catch_exceptions=False)
    assert _run(*target, "--keep", "day of sale").exit_code == 0


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_file_that_does_not_fit_the_model_is_told_by_row_and_column(houses, kind):
    target = {"classes": "sold", "numbers": "price"}[kind]
    other = {"classes": "price", "numbers": "sold"}[kind]
    _run("train", "houses.csv", "-t", target, "--without", other, *QUICK)

    def said(frame):
        frame.to_csv("new.csv", index=False)
        with pytest.raises(TableFileError) as caught:
            CliRunner().invoke(app, ["table", "predict", "new.csv"], catch_exceptions=False)
        return str(caught.value)

    area = houses["area"].astype(object)
    area[16], area[40] = "three", "four"  # the row that comes first, not the word that does
    assert said(houses.assign(area=area)) == (
        "new.csv: row 17: column 'area' holds 'three', expected a number, as in the table that was "
        "learnt from."
    )
    assert said(houses.drop(columns="town")) == (
        "new.csv lacks the column 'town', expected those of the table that was learnt from, in any "
        "order."
    )
    assert said(houses[["sold"]]).startswith("new.csv lacks the columns 'area', 'town', expected")


def test_a_file_is_counted_by_a_model_without_names(houses):
    x = houses[["area"]].to_numpy()
    model = RealMLPRegressor("td-s", n_epochs=2, random_state=0).fit(x, np.arange(120.0))
    backlit.save(model, "model.safetensors")
    with pytest.raises(TableFileError, match=r"^houses.csv has 4 columns, expected 1, as the tab"):
        CliRunner().invoke(app, ["table", "predict", "houses.csv"], catch_exceptions=False)


def test_a_model_that_was_not_named_is_said_to_be_the_default(houses):
    PhotoClassifier.load().save("model.safetensors")
    for words, message in (
        ((), r"^model.safetensors, the default of --model, is no model for tables: use `backlit p"),
        (("-m", "model.safetensors"), r"^model.safetensors is no model for tables: use"),
    ):
        with pytest.raises(ModelFileError, match=message):
            CliRunner().invoke(
                app, ["table", "predict", "houses.csv", *words], catch_exceptions=False
            )
    Path("model.safetensors").unlink()
    with pytest.raises(ModelFileError, match=r"no such file \(the default of --model\), expected"):
        CliRunner().invoke(app, ["table", "predict", "houses.csv"], catch_exceptions=False)


def test_train_predict_and_report(houses):
    found = _run(
        "train", "houses.csv", "-t", "price", "--without", "sold", *QUICK, "--report", "page.html"
    )
    assert found.exit_code == 0, found.output
    assert "root mean squared error" in found.stdout
    assert "119 rows" in found.stdout
    assert "Always answering the mean would have a root mean squared error of" in found.stdout
    model = backlit.load("model.safetensors")
    expected = model.predict(houses)
    rows = _run("predict", "houses.csv", "--coverage", "0.9").stdout.splitlines()
    assert rows[0] == "row,prediction,low,high"
    got = np.array([[float(cell) for cell in row.split(",")] for row in rows[1:]])
    np.testing.assert_allclose(got[:, 1], expected, rtol=1e-12)
    assert (got[:, 2] <= got[:, 3]).all()
    page = Path("page.html").read_text(encoding="utf-8")
    assert "price" in page
    assert "<b>" not in page
    again = _run("train", "houses.csv", "-t", "sold", *QUICK, "-m", "sold.safetensors")
    assert "accuracy" in again.stdout
    lines = _run("predict", "houses.csv", "-m", "sold.safetensors", "-f", "jsonl").stdout
    first = json.loads(lines.splitlines()[0])
    assert set(first) == {"row", "prediction", "p_no", "p_yes"}
    _run("predict", "houses.csv", "-m", "sold.safetensors", "-o", "out.csv")
    assert pd.read_csv("out.csv").shape == (120, 4)
    assert _run("report", "houses.csv", "-t", "sold", *QUICK, "-o", "sold.html").exit_code == 0
    page = Path("sold.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert 'id="score-1"' in page


def test_what_is_wrong_is_said(houses):
    for words, message in (
        (("train", "houses.csv", "-t", "prize"), "has no column 'prize', expected one of 'area'"),
        (("train", "houses.csv", "-t", "price", "--without", "x"), "has no column 'x'"),
        (("train", "houses.csv", "-t", "sold", "--kind", "numbers"), "expected numbers"),
    ):
        found = CliRunner().invoke(app, ["table", *words, *QUICK])
        assert message in str(found.exception), found.exception


def test_a_parquet_file_without_rows_numbers_nothing(tmp_path):
    pd.DataFrame({"id": np.zeros(0), "a": np.zeros(0)}).to_parquet(tmp_path / "a.parquet")
    assert read_file(tmp_path / "a.parquet").numbering == []
