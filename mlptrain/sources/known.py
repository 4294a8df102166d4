"""Names of data sets that people know from elsewhere and that are not offered here: no slips of the pen."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_OWN = "data of your own"
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
    _OWN: (
        "csv tsv table tabular arrays array numpy npz npy idx images imagefolder datasetfolder folder file files own "
        "owndata custom customdata mydata dataframe pandas parquet libsvm arff huggingface openml kaggle sqlite"
    ),
}  # fmt: skip
_WORDS = {word: title for title, words in _TITLES.items() for word in words.split()}
_FILE = re.compile(r"\.(csv|tsv|txt|data|npz|npy|mat|pt|pth|pkl|parquet|json|jsonl|arff|gz|zip|zst|h5|hdf5|idx|xlsx?)$")
_BEGINNING = 4  # letters: what only begins with a shorter word is another one
_ALIKE = 0.82  # of difflib's ratio: a slip of the pen in a name that is not offered


def not_offered(word: str, offered: Iterable[str]) -> str | None:
    """In words that a name stands for a known data set that is not offered; None for other names.

    To be asked about names that are not among the ``offered`` ones; a slip of the pen belongs to the most similar name.
    """
    if "/" in word or _FILE.search(word.lower()):
        return "reading files of your own is not offered"
    letters = re.sub(r"[\W_]", "", re.sub(r"^(load|fetch|get)_|^.*\.", "", word.lower()))
    begun = [known for known in _WORDS if len(known) >= _BEGINNING and letters.startswith(known)]
    if letters in _WORDS or begun:
        return _sentence(letters if letters in _WORDS else max(begun, key=len))
    most = max((_alike(letters, re.sub(r"[\W_]", "", name)) for name in offered), default=0.0)
    for known in difflib.get_close_matches(letters, _WORDS, n=1, cutoff=_ALIKE):
        if _alike(letters, known) > most:
            return _sentence(known)
    if letters.endswith("mnist") and len(letters) > len("xmnist") and most < _ALIKE:
        return "relatives of MNIST other than fashion_mnist are not offered"
    return None


def _sentence(known: str) -> str:
    title = _WORDS[known]
    return f"reading {title} is not offered" if title == _OWN else f"a known data set, but not offered: {title}"


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()
