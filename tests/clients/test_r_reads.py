"""What R itself makes of the formats that are read and written here.

Whatever we take for an index R must read in the same way: else it would be shown more than was
judged.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
from pathlib import Path

import pytest

from proxy.ecosystems.cran import dcf, rds, rds_reader
from proxy.ecosystems.cran.packed import unpacked
from proxy.ecosystems.cran.rds import LIST, Vector
from proxy.errors import BadIndex
from tests.ecosystems.cran_repositories import ARCHIVE, CONTEXT, Made
from tests.ecosystems.policies import deny, under
from tests.ecosystems.test_cran_policy import SPECS_BELOW_2
from tests.lab.clients import R

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(R.executable() is None, reason="R (r-base-core) is not installed here"),
]


def _read_by_r(folder: Path, texts: list[bytes]) -> list[list[dict[str, str]] | None]:
    """The records of each text as R's `read.dcf` has them; None where it raises an error."""
    for number, text in enumerate(texts):
        (folder / f"{number}.dcf").write_bytes(text)
    R(folder).run(
        "hex <- function(x) paste(as.character(charToRaw(enc2native(x))), collapse = '')",
        f"for (n in 0:{len(texts) - 1}) {{",
        "  m <- tryCatch(read.dcf(paste0(n, '.dcf')), error = function(e) NULL)",
        "  out <- file(paste0(n, '.out'), 'w')",
        "  if (is.null(m)) cat('error', file = out) else for (i in seq_len(nrow(m))) {",
        "    for (f in colnames(m)) if (!is.na(m[i, f]))",
        "      cat(hex(f), ' ', hex(m[i, f]), '\\n', sep = '', file = out)",
        "    cat('end\\n', file = out) }",
        "  close(out) }",
        repository="",
    )
    return [_records((folder / f"{number}.out").read_text()) for number in range(len(texts))]


def _records(out: str) -> list[dict[str, str]] | None:
    if out == "error":
        return None
    found: list[dict[str, str]] = [{}]
    for line in out.splitlines():
        if line == "end":
            found.append({})
        else:
            name, value = (bytes.fromhex(one).decode("latin-1") for one in line.split(" "))
            found[-1][name] = value
    return found[:-1]


def _read_by_us(text: bytes) -> list[dict[str, str]] | None:
    try:
        return [
            {
                name.decode("latin-1"): dcf.value(raw).decode("latin-1")
                for name, raw in record.fields.items()
            }
            for record in dcf.records(text)
        ]
    except BadIndex:
        return None


_PIECES = (
    *(b"Package: a\n", b"Version: 1\n", b"Title:  two  words \n", b"License:MIT\n", b"Empty:\n"),
    *(
        b"Depends: b,\n",
        b"  c,\n",
        b"\td  \n",
        b" . x\n",
        b"\n",
        b" \n",
        b"\t \n",
        b"\r\n",
        b"X: y\r\n",
    ),
    *(b"URL: a: b: c\n", b"no field\n", b"a b: c\n", b": x\n", b"#c: d\n", b"Blank: \t \n"),
    *(b"Z: 1\rY: 2\n", b"Q: \"q' \\\n", b" more\r\n", b"Umlaut: \xc3\xa4\n", b"-\n", b"NA: NA\n"),
)


def _texts() -> list[bytes]:
    random_ = random.Random(7)
    return [
        b"Package: a\n" + b"".join(random_.choices(_PIECES, k=random_.randrange(1, 9)))
        for _ in range(600)
    ]


def test_what_we_read_of_packages_r_reads_in_the_same_way(tmp_path: Path) -> None:
    texts = _texts()
    by_us = [_read_by_us(text) for text in texts]
    by_r = _read_by_r(tmp_path, texts)
    accepted = [number for number, found in enumerate(by_us) if found is not None]
    assert len(accepted) > 60, "the pieces are chosen so that many texts are right"
    for number in accepted:
        assert by_us[number] == by_r[number], texts[number]


_VALUES = """
value <- list(
    text = c(a = "one", b = NA, c = "\\u00e4"), whole = c(1L, NA, -3L), real = c(0.5, NA, Inf),
    truth = c(TRUE, NA), none = NULL, range = 1:9, back = 5:2, empty = character(),
    factor = factor(c("x", "y")), table = data.frame(size = c(1, 2), row.names = c("p", "q")),
    time = .POSIXct(c(1e9, NA)), matrix = matrix(c("a", NA), 1, dimnames = list("r", c("x", "y"))),
    latin = iconv("\\u00e4", "UTF-8", "latin1"), sorted = sort(c(3, 1, 2)))
"""


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("compress", ["gzip", "bzip2", "xz", "FALSE"])
def test_what_r_writes_is_read_and_written_again_for_r(
    tmp_path: Path, version: int, compress: str
) -> None:
    r = R(tmp_path)
    how = compress if compress == "FALSE" else f'"{compress}"'
    options = f"version = {version}, compress = {how}"
    r.run(_VALUES, f'saveRDS(value, "value.rds", {options})', repository="")
    value = rds_reader.read(unpacked((tmp_path / "value.rds").read_bytes()))
    (tmp_path / "again.rds").write_bytes(rds.written(value))
    out = r.run(
        _VALUES, 'stopifnot(identical(readRDS("again.rds"), value))', 'cat("same")', repository=""
    )
    assert "same" in out


@pytest.mark.parametrize("what", ["quote(a)", "function(x) x", "globalenv()", "quote(f(x))", "1i"])
def test_what_could_do_something_is_not_read(tmp_path: Path, what: str) -> None:
    R(tmp_path).run(f'saveRDS(list(a = {what}), "value.rds")', repository="")
    with pytest.raises(BadIndex, match=r"type \d+, which no index has|no list"):
        rds_reader.read(unpacked((tmp_path / "value.rds").read_bytes()))


def test_an_archive_that_has_been_cut_is_a_list_of_tables_to_r(tmp_path: Path) -> None:
    r = R(tmp_path)
    r.run(
        "dir.create('tool'); for (v in 1:3) writeLines('x', sprintf('tool/tool_%d.0.tar.gz', v))",
        "frame <- file.info(Sys.glob('tool/*'))",
        "saveRDS(list(empty = frame[0, ], tool = frame), 'archive.rds')",
        repository="",
    )
    context = under(CONTEXT, deny(SPECS_BELOW_2))
    made = Made((tmp_path / "archive.rds").read_bytes(), context, ARCHIVE)
    (tmp_path / "shown.rds").write_bytes(made.forms["rds"])
    out = r.run(
        "shown <- readRDS('shown.rds'); frame <- readRDS('archive.rds')$tool",
        "stopifnot(identical(shown, list(tool = frame[2:3, ])))",
        "cat('the same')",
        repository="",
    )
    assert "the same" in out


def test_a_text_of_any_length_survives(tmp_path: Path) -> None:
    texts = rds.texts([b"", b"a" * 70_000, None, "\u00e4\u4e2d".encode(), b"\xe4"])
    value = Vector(type=LIST, values=[texts], attributes={b"names": rds.texts([b"x"])})
    (tmp_path / "value.gz").write_bytes(gzip.compress(rds.written(value)))
    (tmp_path / "value.bz2").write_bytes(bz2.compress(rds.written(value)))
    (tmp_path / "value.xz").write_bytes(lzma.compress(rds.written(value)))
    out = R(tmp_path).run(
        "for (f in c('gz', 'bz2', 'xz')) { x <- readRDS(paste0('value.', f))$x",
        "  cat(nchar(x), is.na(x[3]), Encoding(x), '\\n') }",
        repository="",
    )
    assert out.splitlines() == ["0 70000 NA 2 1 TRUE unknown unknown unknown UTF-8 latin1 "] * 3
