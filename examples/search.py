"""Semantic search against a running stack (`just up`): python examples/search.py "what grows in a garden?"."""

import sys

from labelbus import Client, ProblemError

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
TEXTS = [
    "Tomatoes want sun, water and patience.",
    "A worker that holds the model answers at once.",
    "The train to Lyon leaves from platform nine.",
    "Beans climb up anything that you give them.",
]


def similarity(one: list[float], other: list[float]) -> float:
    """Return the cosine of two embeddings, whose length is 1."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def main(query: str) -> None:
    """Print the texts, the most similar to the query first."""
    with Client("http://127.0.0.1:8080") as client:
        try:
            client.upload_model(MODEL)
        except ProblemError as exc:
            if exc.code != "exists":
                raise
        wanted, *found = client.embed_texts(MODEL, [query, *TEXTS])
    ranked = sorted(zip(found, TEXTS, strict=True), key=lambda pair: -similarity(wanted, pair[0]))
    for embedding, text in ranked:
        print(f"{similarity(wanted, embedding):.2f}  {text}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "what grows in a garden?")
