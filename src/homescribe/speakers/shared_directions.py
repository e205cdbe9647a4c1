"""What the embeddings of all voices share, and embeddings without it.

The embeddings of different people are not around zero: they share a direction, which depends on the
frequencies that a recording has. Over a telephone line that direction is so strong that strangers are as
similar as one person is in two clear recordings. So both directions, of clear recordings and of telephone
lines, are removed from each embedding ("nuisance attribute projection"). One similarity then means the same
for both, and nothing has to find out which of them a recording is.

The directions are the mean embeddings of eight voices, found by benchmarks/shared_directions.py.
"""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

_CAMPPLUS = """
xykKpCSpqi/ZLb+rii2Lpnwt2yrVLrWpNy/6KJip458LnVytBKLFJGmxLyiJo6qn3KAbJSEs1aijLL+jECUMJSApIiJzoTiomTB9
LQGr7Q1trlOlJSpeKDMsPR2FKiOtyaaDKrCpIRpNJU+pc6lGrauulSe8FiEs9CkorjuuYCQSrjyt2y22LE4nNy9oKeyvAiPZro0y
malwqmCvGy/IotyVpKo4JUWhVqYTK/WwNa1kMJUs0iyppY2pMqpOLpKuxK5XHvspbixsJmssdKZ+KSGwLCqIpwgkyjCCJTCt2iyb
JkArBywGsB2wkKovrUUoBTBmqMEo0aV6KaGtPR6YJHMrkalFLh4qAaueKN+ayawkLlkxsykbLNOobBrnoVKwhaQrLamwZql8EJ0s
tCzDMZKoRawwL70oMyHYnSSYmIRVrcum9K68qq2slKiYKzGXQKwAovyxyi9fosOqBKaDJ82uG6+KLggkui9MpgwphKz3KTiovJUf
KD+sQCssKSiw66jBIKepl6wArKmsnJ/IqUyoxxwUJYiqsSWMpImwASg1JWksRywlqXMgvy+tKxkwfSXyLPaqj6SlpMwx8i6yLAmm
2Rzdm8owEKziKGcqwKxYLLgm6K2VJoMkTaUVreIocSjhppgvIiY4qnQoCijPJ6+lYiUvrP6tMS60qTuvEylasaqvEymzq8UeqjDJ
MlKl0imCrTIeRy6VrZSs5adlqhWl1yqQrgMps6k/p4UtsqrEn1mtox0gLiOeqJ3jLQ8iY5tFKjisMC5tpTaomqtXKHoqoSt5MEik
ga3ZqWOlu5HQKqegdCVTqOykFCtIIVitR645rvKrQytolYaoV6LJsBMXlxV7MfctIaoEKk+puqtdKJentq4GHOOvMKgXqqowP7Es
rmwZiSfHsDIrBaR9JGArwK07IScqYaxLsEWwMKcqIpQvfCRJMnmlBCMcLRami6DEKTutJymQrqodYio1MTSv8i4/qTAnpCbwE9cc
TTAnpCArHKxRqWspk6UJL2wq
"""
# The same network with a rectifier (ReLU) at its end, as some export it.
_CAMPPLUS_RECTIFIED = """
XamAq4asH6gKpfOtJ6Vkq7anHalgoZusz6IgqOysCKv3qi6uHKvLpy6yr6cHq7uriqz5qrqkL6wOpvqq3absqKSqL6g0qwSutqIA
psutD6yiru+pQ6gsqj6mAKqYqGKu6avQprSsjaq8rPKsM6xyrhOv6qhFq/WnUKTSr/iv4KcGsCywqqQMp5+p2qQBqEmxIaagsP2X
9quBrWOwkqgBq0+rbqyHrEWpLqyFp1exBq5so4Ko2qYGrJCtga0rpc+v06/Qqh6rkqKhqqCmvK2cpn+wBqehq8arHaQxqXWvLKUf
qoOnY6WhsEuwr63jryGqkaJwrBaps6rxqAKwKqnWqQSlY6v/pJ2jhK0jqYSqkq5tpjWke6kjqVStyan2qpKw8qzrpemwi6wyqyan
2KhWnRusgq5WoI+lBak+q+urc6s4rjGsrK9srBev56t+pwCqFa+2qkeydZ45q6usqKy4p0KwVbD4nlGs4Z5NrHWoGq4hpvGpO6n0
qNatO6gjqn+wJaxwoLGs0K/TrEGst6rVqTSscKwvpIqoh6paq+Ww8ilSJHUweCqkp8ssMCmion8u2qkqpY6ohKB4qwAuJia4J7+q
o6tOqXgtv6oaqS0rKbCOMMAkua2fqUOjbKvtrEUsGyVHqMorj6ZErjgqJSK2LHErcahFrg+vTQ6VqWSu7aCSsFmw/6hmrbaq3qD7
KnsoYyO9qQSg7i9+rn6lraxUq8alFSpbryAnhauqqhUyZJ1mqxyqAKkULXCfOCWwGGsoqSggFbWt9SLfqK6lBqe1qRwww6J9LYKo
IqxDrcSmZqvZI3yo0qNZkHgsEKIkonmtmar/rgmtoSCKrCiN16k1sWOnRCfAKc6U+pkQox2svKoqrDSrv687rN2unajCrDYzUbF0
rD4u+SljsM2pGq5dpWsr36xbqKGbha2gsPqvxa1kKrctNy05MluiAZ1/KIKpmyGQIaUqfqbZrukg4SpfKVisAzIBp68gDqWnqiGr
3DBiqBcsjKkSrfApk6oxJAkw
"""
# By the beginning of the file's SHA-256: 3D-Speaker's CAM++, Chinese and English.
_DIRECTIONS = {
    "aa3cfc16963a1058": _CAMPPLUS,
    "5776c844a536a143": _CAMPPLUS_RECTIFIED,
}


def shared_directions(weights: str) -> NDArray[np.float32] | None:
    """Return what embeddings of these weights share: (directions, size), orthogonal, of length 1.

    None if that was not measured.
    """
    encoded = _DIRECTIONS.get(weights)
    if encoded is None:
        return None
    return np.frombuffer(base64.b64decode(encoded), "<f2").astype(np.float32).reshape(2, -1)


def centred(vector: NDArray[np.float32], shared: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return an embedding without what it shares with those of all voices.

    Of a network that ends with a rectifier, and whose directions are not known, that is the mean of its
    numbers: as none is negative, all embeddings are in one direction.
    """
    if shared is not None:
        return np.asarray(vector - vector @ shared.T @ shared, np.float32)
    return vector - vector.mean(dtype=np.float32) if vector.min() >= 0 else vector
