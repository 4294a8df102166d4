"""Names of data sets that people know from elsewhere and that are not offered here: no slips of the pen."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

# Kinds of data of the user's own, with words for them and the endings of their files.
_KINDS = {
    "table": "csv tsv table tabular dataframe pandas polars parquet libsvm svmlight arff jsonl txt data json xlsx xls",
    "arrays": "array arrays numpy npz npy mat matlab safetensors",
    "images": "image images imagefolder datasetfolder folder imagesfolder png jpg jpeg",
    "idx": "idx ubyte",
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_OWN = "data of your own"
_AS_IDX = ("Kuzushiji-MNIST", "EMNIST", "QMNIST")  # whose files are IDX
# Titles, and their names in torchvision, scikit-learn, Keras, OpenML and papers, in lower-case letters and digits
# alone; what begins with one, as emnistletters, is one too.
_TITLES = {
    "Kuzushiji-MNIST": "kmnist kuzushiji k49",
    "EMNIST": "emnist",
    "QMNIST": "qmnist",
    "notMNIST": "notmnist",
    "MNIST-C": "mnistc mnistcorrupted",
    "MNIST-M": "mnistm",
    "MNIST-1D": "mnist1d",
    "Infinite MNIST": "mnist8m infimnist infinitemnist",
    "rotated MNIST": "mnistrot rotmnist rotatedmnist",
    "affNIST": "affnist",
    "N-MNIST": "nmnist",
    "MedMNIST": "medmnist pathmnist bloodmnist dermamnist octmnist pneumoniamnist",
    "Sign Language MNIST": "signmnist signlanguagemnist",
    "CIFAR-10 and CIFAR-100": "cifar",
    "CINIC-10": "cinic",
    "SVHN": "svhn streetview",
    "USPS": "usps",
    "Semeion": "semeion",
    "pen digits": "pendigits",
    "the letters of UCI": "letterrecognition letter",
    "STL-10": "stl10",
    "Omniglot": "omniglot",
    "ImageNet": "imagenet tinyimagenet imagenette imagewoof ilsvrc",
    "Caltech": "caltech",
    "CelebA": "celeba",
    "COCO": "coco mscoco",
    "Pascal VOC": "voc pascalvoc",
    "Places365": "places365",
    "LSUN": "lsun",
    "Food-101": "food101",
    "Flowers": "flowers102 oxfordflowers tfflowers",
    "Pets": "oxfordpets oxfordiiitpet catsvsdogs dogsvscats",
    "GTSRB": "gtsrb",
    "EuroSAT": "eurosat",
    "PCAM": "pcam patchcamelyon",
    "Quick, Draw!": "quickdraw",
    "Olivetti faces": "olivetti",
    "LFW": "lfw",
    "California housing": "californiahousing california calhousing",
    "Boston housing": "boston bostonhousing",
    "Ames housing": "ames ameshousing houseprices",
    "Titanic": "titanic",
    "Adult (census income)": "adult censusincome census",
    "wine quality": "winequality",
    "the diabetes of the Pima": "pima",
    "Linnerud": "linnerud",
    "forest cover types": "covtype covertype forestcover",
    "KDD Cup 99": "kddcup kdd99",
    "20 newsgroups": "20newsgroups newsgroups20",
    "Reuters": "reuters rcv1",
    "IMDB": "imdb",
    "AG News": "agnews",
    "HIGGS": "higgs",
    "heart disease": "heart heartdisease cleveland",
    "abalone": "abalone",
    "German credit": "germancredit creditg statlog",
    "credit card fraud": "creditcard",
    "bank marketing": "bankmarketing",
    "mushrooms": "mushroom agaricus",
    "Auto MPG": "autompg",
    "concrete": "concrete",
    "energy efficiency": "energyefficiency",
    "yacht hydrodynamics": "yacht",
    "bike sharing": "bikesharing",
    "airfoil": "airfoil",
    "ISOLET": "isolet",
    "human activity": "uciharr humanactivity",
    "glass": "glass",
    "sonar": "sonar",
    "ionosphere": "ionosphere",
    "seeds": "seeds",
    "tips": "tips",
    "diamonds": "diamonds",
    "stock prices": "stock stocks",
    "text": "shakespeare wikitext ptb penntreebank",
    "speech commands": "speechcommands",
    _OWN: "file files own owndata custom customdata mydata huggingface openml kaggle sqlite",
}  # fmt: skip
_WORDS = {word: title for title, words in _TITLES.items() for word in words.split()}
_FILE = re.compile(
    r"\.(?:(csv|tsv|txt|data|npz|npy|mat|pt|pth|pkl|parquet|json|jsonl|arff|h5|hdf5|idx|xlsx?|safetensors|png|jpe?g|zip)"
    r"(?:\.(?:gz|bz2|xz|zst))?|gz|zst)$"
)
_BEGINNING = 4  # letters: what only begins with a shorter word is another one
_ALIKE = 0.82  # of difflib's ratio: a slip of the pen in a name that is not offered


def not_offered(word: str, offered: Iterable[str]) -> str | None:
    """In words that a name stands for a known data set that is not offered; None for other names.

    To be asked about names that are not among the ``offered`` ones; a slip of the pen belongs to the most similar name.
    Of files, and of words for them, the kind is said under which they are offered.
    """
    offered = list(offered)
    ending = _FILE.search(word.lower())
    if "/" in word or ending:
        return _of_file(word, _KIND_OF.get((ending and ending[1]) or "", ""), offered)
    letters = re.sub(r"[\W_]", "", re.sub(r"^(load|fetch|get)_|^.*\.", "", word.lower()))
    if letters in _KIND_OF:
        return _of_file("…", _KIND_OF[letters], offered)
    begun = [known for known in _WORDS if len(known) >= _BEGINNING and letters.startswith(known)]
    if letters in _WORDS or begun:
        return _sentence(letters if letters in _WORDS else max(begun, key=len), offered)
    most = max((_alike(letters, re.sub(r"[\W_]", "", name)) for name in offered), default=0.0)
    for known in difflib.get_close_matches(letters, _WORDS, n=1, cutoff=_ALIKE):
        if _alike(letters, known) > most:
            return _sentence(known, offered)
    if letters.endswith("mnist") and len(letters) > len("xmnist") and most < _ALIKE:
        return "relatives of MNIST other than fashion_mnist are not offered"
    return None


def _sentence(known: str, offered: Collection[str]) -> str:
    title = _WORDS[known]
    if title == _OWN:
        return _of_file("…", "", offered)
    as_idx = "; {name: idx, path: …} reads its files" if title in _AS_IDX and "idx" in offered else ""
    return f"a known data set, but not offered: {title}{as_idx}"


def _of_file(path: str, kind: str, offered: Collection[str]) -> str:
    """How a file is named, by its kind; all kinds that there are where it has none."""
    kinds = [kind] if kind else [other for other in _KINDS if other in offered]
    if not set(kinds) & set(offered):
        return f"reading {_OWN if path == '…' else 'files of your own'} is not offered"
    examples = [f"{{name: {one}, path: {path}}}" for one in kinds if one in offered]
    return f"{_OWN} have a kind and a path: {', '.join(examples[:-1])}{' or ' * (len(examples) > 1)}{examples[-1]}"


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()
