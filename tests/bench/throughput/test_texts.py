from bench.throughput.texts import BLOCK, SENTENCES, mixed_texts, tasks_of


def test_texts_are_of_mixed_lengths_and_the_same_for_a_seed():
    texts = mixed_texts(3)
    assert texts == mixed_texts(3) != mixed_texts(4)
    words = sorted(len(text.split()) for text in texts)
    assert words[0] == 1
    assert words[-1] > 150
    assert all(any(sentence in text for sentence in SENTENCES) for text in texts)


def test_every_block_has_about_the_same_amount_of_work():
    texts = mixed_texts()
    blocks = [sum(map(len, texts[start : start + BLOCK])) for start in range(0, len(texts), BLOCK)]
    assert max(blocks) < 1.4 * min(blocks)


def test_tasks_have_the_texts_in_their_order():
    texts = [str(number) for number in range(6)]
    assert tasks_of(texts, 1) == [(text,) for text in texts]
    assert tasks_of(texts, 4) == [("0", "1", "2", "3")]
    assert tasks_of(texts, 8) == [("0", "1", "2", "3", "4", "5", "0", "1")]
