import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import byte_level, gemma_like, hand_merged, qwen2_like, word_level
from transformers import PreTrainedTokenizerFast

from sapo.models.encoding import Encoder, Size, bucketed_batches, budgeted_batches, pad_rows
from sapo.models.nano import build_tokenizer
from sapo.records import BadInput

LOSSLESS = {
    "byte_level": byte_level(),
    "byte_level_bos": byte_level(bos=True),
    "byte_level_trimmed_offsets": byte_level(trim=True),
    "byte_level_bos_trimmed": byte_level(bos=True, trim=True),
    "characters": byte_level(size=10),
    "qwen2_like": qwen2_like(),
    "gemma_like": gemma_like(),
}
STEPS = [
    ("Cy : Ben + 3\n", "15 + 3 = 18\n", "answer 18"),
    ("    xs = [x + 1\n", "\n", "    return xs\n"),
    ("naïve café\n", "costs 5 €\n", "数学\n", "🙂"),
    ("ein é", " e\u0301 x", "🙂🙂"),
    ("a.\n\n", "b:\n", "  c\t\n"),
]


@pytest.mark.parametrize("name", ["byte_level_bos", "byte_level_bos_trimmed", "gemma_like"])
def test_prompt_gets_leading_specials_and_never_trailing_ones(name: str) -> None:
    """The tokenizer itself writes <bos> 'Ben has' <eos>; generation must not start after an <eos>."""
    tokenizer = LOSSLESS[name]
    encoder = Encoder(tokenizer)
    whole = tokenizer("Ben has")["input_ids"]
    assert whole[0] == tokenizer.bos_token_id and whole[-1] == tokenizer.eos_token_id
    assert list(encoder.prompt_ids("Ben has")) == whole[:-1]
    assert tokenizer.bos_token_id not in encoder.completion_ids("Ben has")


@pytest.mark.parametrize("name", ["byte_level_bos", "byte_level_bos_trimmed", "gemma_like"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_prompt_that_begins_with_bos_gets_no_other(name: str, times: int) -> None:
    encoder = Encoder(LOSSLESS[name])
    prompt = times * "<bos>" + "Ben has"
    assert encoder.prompt_ids(prompt) == encoder.prompt_ids("Ben has")
    assert encoder.encode(prompt, "3") == encoder.encode("Ben has", "3")
    assert encoder.encode_steps(prompt, ("3",)) == encoder.encode_steps("Ben has", ("3",))


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("text", ["3<eos>\n<bos> 4", "<eos>", "\n<eos>\n", "<<eos><pad>>"])
def test_names_of_special_tokens_are_text_in_a_completion_and_tokens_in_a_prompt(name: str, text: str) -> None:
    tokenizer = LOSSLESS[name]
    encoder = Encoder(tokenizer)
    specials = {*tokenizer.convert_tokens_to_ids(["<eos>", "<bos>", "<pad>"])}  # pyright: ignore[reportGeneralTypeIssues]
    assert not specials & {*encoder.completion_ids(text)} and decoded(tokenizer, encoder.completion_ids(text)) == text
    assert tokenizer.eos_token_id in encoder.prompt_ids(text)
    encoded = encoder.encode_steps("Q\n", (text, " next\n"))
    head = encoded.ids[encoded.completion_start : encoded.step_ends[0] + 1]
    assert decoded(tokenizer, head).startswith(text) and encoder.encode("Q\n", text).ids[-1] == tokenizer.eos_token_id


def test_the_embedded_tokenizer_never_draws_its_specials_from_text() -> None:
    """Its words are taken whole, names of special tokens among them."""
    tokenizer = build_tokenizer(["Ben : 3\n"], ["Ben"])
    encoder = Encoder(tokenizer)
    assert tokenizer("<|end|>")["input_ids"] == [1]
    ids = encoder.completion_ids("3\n<|end|>\n<|pad|>")
    assert not {0, 1} & {*ids} and encoder.text(ids) == "3\n<|end|>\n<|pad|>"


def test_a_row_longer_than_the_model_is_refused_and_a_trajectory_is_told() -> None:
    """a, b and the end token are 3 tokens; a, then a newline, an a and the end token would be 4."""
    encoder = Encoder(hand_merged(), positions=3)
    assert encoder.encode("a", "b").ids == (3, 4, 2)
    with pytest.raises(
        BadInput, match=r"text 2 of 2 has 4 tokens .*, the model has 3 positions; it begins \('a', '\\na'\)"
    ):
        encoder.encode_many([("a", "b"), ("a", "\na")])
    kept, long, merged = encoder.attempt_steps([("a", ("b",)), ("a", ("\n", "a")), ("", ("a", "b"))])
    assert kept == encoder.encode_steps("a", ("b",))
    assert long == "has 4 tokens with its prompt and end token, the model has 3 positions"
    assert (
        merged
        == "step 2 of 2 ('b') ends in no token of its own: the tokenizer merges or drops it, so it cannot be scored"
    )
    with pytest.raises(BadInput, match="has 4 tokens"):
        encoder.encode_steps("a", ("\n", "a"))


def test_tokenizer_without_specials_adds_none() -> None:
    encoder = Encoder(LOSSLESS["byte_level"])
    assert encoder.leading == () and encoder.prompt_ids("Ben") == encoder.completion_ids("Ben")


def test_prompt_and_completion_are_tokenised_apart() -> None:
    """'a' + 'b' together would be the one token 'ab' (id 7); generation sees a (3), then b (4), then <eos> (2)."""
    encoder = Encoder(hand_merged())
    encoded = encoder.encode("a", "b")
    assert (encoded.ids, encoded.completion_start) == ((3, 4, 2), 1)
    assert encoder.encode("a", "b", eos=False).ids == (3, 4)
    assert encoder.completion_ids("ab") == (7,)


def test_many_equal_one_by_one() -> None:
    encoder = Encoder(LOSSLESS["byte_level_bos"])
    items = [("Ben has 3\n", "3 + 2"), ("", "x"), ("数", "")]
    assert encoder.encode_many(items) == [encoder.encode(*item) for item in items]


def test_earlier_padding_and_truncation_of_the_tokenizer_do_not_leak_in() -> None:
    tokenizer = byte_level()
    tokenizer(["a", "a longer text"], padding=True, truncation=True, max_length=2)
    assert decoded(tokenizer, Encoder(tokenizer).completion_ids("a longer text")) == "a longer text"


def decoded(tokenizer: PreTrainedTokenizerFast, ids: tuple[int, ...]) -> str:
    text = tokenizer.decode(list(ids))
    assert isinstance(text, str)
    return text


def _ends_by_decoding(tokenizer: PreTrainedTokenizerFast, ids: tuple[int, ...], steps: tuple[str, ...]) -> list[int]:
    """The oracle: the shortest run of tokens whose text holds the steps so far, found without offsets."""
    ends, text = [], ""
    for step in steps:
        text += step
        ends.append(next(n for n in range(1, len(ids) + 1) if decoded(tokenizer, ids[:n]).startswith(text)) - 1)
    return ends


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("name", LOSSLESS)
def test_step_ends_on_the_token_that_completes_its_text(name: str, steps: tuple[str, ...]) -> None:
    tokenizer = LOSSLESS[name]
    if name == "qwen2_like":  # its NFC would make the oracle compare é with e + accent
        steps = tuple(step.replace("e\u0301", "é") for step in steps)
    encoded = Encoder(tokenizer).encode_steps("Question?\n", steps)
    completion = encoded.ids[encoded.completion_start :]
    assert decoded(tokenizer, completion) == "".join(steps)
    found = [end - encoded.completion_start for end in encoded.step_ends]
    assert found == _ends_by_decoding(tokenizer, completion, steps)
    assert encoded.step_ends[-1] == len(encoded.ids) - 1


def test_normalised_characters_keep_their_place() -> None:
    """NFC joins e and its accent; step 1 still ends on the last token before ' x', whatever the accent became."""
    encoder = Encoder(LOSSLESS["qwen2_like"])
    apart, joined = encoder.encode_steps("", ("e\u0301", " x")), encoder.encode_steps("", ("é", " x"))
    assert apart == joined


def test_word_level_steps_by_hand() -> None:
    """Prompt: x at 0, has at 1; completion: 2 at 2, newline at 3, 3 at 4, newline at 5: the steps end at 3 and 5."""
    encoder = Encoder(word_level(["x", "has", "2", "3"]))
    assert encoder.encode_steps("x has", ("2\n", "3\n")).step_ends == (3, 5)


def test_dropped_newlines_count_with_the_token_before() -> None:
    """Without newline tokens: x(0) | 2(1) x(2) | 3(3); '2 x\\n' ends at 2, '3\\n' at 3."""
    encoder = Encoder(word_level(["x", "2", "3"], keep_newlines=False))
    assert encoder.encode_steps("x", ("2 x\n", "3\n")).step_ends == (2, 3)


def test_newline_merged_with_the_next_word() -> None:
    """a(0) newline-b(1) newline(2): the newline that ends 'a\\n' lives in token 1, which starts step 2."""
    encoder = Encoder(hand_merged())
    encoded = encoder.encode_steps("", ("a\n", "b\n"))
    assert (encoded.ids, encoded.step_ends) == ((3, 6, 5), (1, 2))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (("a\n", "ab", "a", "b"), r"step 4 of 4 \('b'\) ends in no token of its own"),
        (("a", ""), r"step 2 of 2 \(''\) is empty"),
        (("", "a"), r"step 1 of 2 \(''\) is empty"),
    ],
)
def test_steps_that_cannot_be_told_apart_are_refused(steps: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Encoder(hand_merged()).encode_steps("a", steps)


def test_a_step_of_dropped_characters_is_refused() -> None:
    encoder = Encoder(word_level(["x"], keep_newlines=False))
    with pytest.raises(ValueError, match=r"step 2 of 3 \('\\n'\) ends in no token of its own"):
        encoder.encode_steps("x", ("x", "\n", "x"))


@given(st.lists(st.text(alphabet="ab1 \n.é数🙂", min_size=1, max_size=6), min_size=1, max_size=5))
def test_step_ends_rise_and_reach_the_end_for_single_bytes(steps: list[str]) -> None:
    """With one token a byte no two steps share a token, so nothing is refused and the ends are byte counts."""
    ends = Encoder(LOSSLESS["characters"]).encode_steps("", steps).step_ends
    counts = [len("".join(steps[: j + 1]).encode()) - 1 for j in range(len(steps))]
    assert list(ends) == counts


def test_tokenizer_without_an_end_token_is_refused() -> None:
    tokenizer = byte_level()
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="no end-of-sequence token"):
        Encoder(tokenizer)


def test_padding_on_the_right() -> None:
    assert pad_rows([(1, 2, 3), (4,)], 9).tolist() == [[1, 2, 3], [4, 9, 9]]


@given(st.lists(st.builds(Size, st.integers(1, 90), st.integers(1, 5)), max_size=300), st.integers(1, 16))
def test_every_row_once_in_an_order_of_the_seed(sizes: list[Size], most: int) -> None:
    """A batch holds at most `most` examples, unless a single row has more."""
    batches = bucketed_batches(sizes, most, "1")
    assert sorted(row for batch in batches for row in batch) == list(range(len(sizes)))
    assert all(len(batch) == 1 or sum(sizes[row].examples for row in batch) <= most for batch in batches)
    assert batches == bucketed_batches(sizes, most, "1")


@given(st.integers(0, 300), st.integers(1, 16))
def test_rows_of_one_example_leave_one_partial_batch_at_most(rows: int, size: int) -> None:
    assert len(bucketed_batches([Size(7)] * rows, size, "1")) == -(-rows // size)


def test_batches_are_shuffled_and_of_similar_length() -> None:
    """1,000 rows of 1…100 tokens in batches of 10: buckets add under 6 % of padding (a random order: 80 %)."""
    sizes = [Size(1 + row % 100) for row in range(1000)]
    batches = bucketed_batches(sizes, 10, "a")
    places = sum(len(batch) * max(sizes[row].tokens for row in batch) for batch in batches)
    assert places < 1.06 * sum(size.tokens for size in sizes)
    assert batches != bucketed_batches(sizes, 10, "b")
    longest = [max(sizes[row].tokens for row in batch) for batch in batches]
    assert longest != sorted(longest)


@given(st.lists(st.integers(1, 50), max_size=100), st.integers(50, 300))
def test_budget_of_padded_tokens_holds(lengths: list[int], tokens: int) -> None:
    batches = budgeted_batches(lengths, tokens)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(len(batch) * max(lengths[row] for row in batch) <= tokens for batch in batches)
