"""What a model card says of each data set, and of what such a network is and is not for: words only.

What is counted was counted in the files; figures from elsewhere name their source.
"""

from typing import NamedTuple


class Facts(NamedTuple):
    """What is known of a data set: where it is from, what is wrong with it, and whom it shows badly; sentences each."""

    origin: tuple[str, ...]
    faults: tuple[str, ...]
    biases: tuple[str, ...]


APPARENT = (
    "The classes are **apparent expressions**: what people who looked at a picture called the face in it. They are "
    "**not what the person felt**. People feel without showing it, show what they do not feel, and differ in how "
    "they show it by culture, situation and person; a picture without its situation tells even human observers "
    "little."
)

INTENDED = (
    "Research on small image classifiers: on architectures, training recipes, label noise, calibration and measuring.",
    "Teaching, and comparison with other networks on the same data under the same protocol.",
    "Demonstrations in which everyone whose face is shown has agreed, and nothing follows from the answer.",
)

OUT_OF_SCOPE = (
    "Inferring what somebody feels, thinks, intends or is like.",
    "Any decision about a person: hiring, work, school, credit, insurance, policing, border, health, advertising.",
    "Watching people who have not agreed, and pictures of children.",
    "Pictures unlike those it was trained on: other crops, angles or cameras, several faces, no face. It has no "
    'answer "this is not a face": it gives one of its classes for any picture.',
)

LAW = (
    "The EU AI Act (Regulation (EU) 2024/1689), **Article 5(1)(f), prohibits AI systems that infer the emotions of "
    "people at the workplace and in education institutions** (placing them on the market, putting them into service "
    "for this purpose, and using them), except for medical or safety reasons. The prohibition has applied since 2 "
    "February 2025. Elsewhere in the Union emotion recognition from biometric data is listed as high-risk (Annex "
    "III, point 1(c)), and the people exposed to it must be told (Article 50(3)). This is a pointer and no legal "
    "advice; other laws on biometric data hold beside it."
)

NO_GROUPS = (
    "The data name nobody's age, sex, skin colour or origin, so no score by such a group can be given here: **how "
    "the network differs between groups of people is unknown**, and a good overall score does not say that it is "
    "fair."
)

_FER2013 = Facts(
    origin=(
        'FER2013 (I. Goodfellow et al. 2013, "Challenges in Representation Learning: A report on three machine '
        'learning contests"): 35,887 faces of 48x48 gray pixels in three fixed splits, Training (28,709), PublicTest '
        "(3,589, here `validation`) and PrivateTest (3,589, here `test`).",
        "The pictures were collected by web image search for emotion words joined with words for sex, age and "
        "origin; faces were cropped by a detector, and people threw out what was plainly wrong. Nobody shown has "
        "been asked.",
        "It was released for a contest, and no open licence is known. For research only; do not republish the "
        "pictures.",
    ),
    faults=(
        "Twins: the 35,887 rows hold 34,034 distinct images. 288 PrivateTest images (8.0 %) and 280 PublicTest "
        "images (7.8 %) have a pixel-identical twin in Training, so official scores flatter a network that "
        "memorises. The twin-free scores leave these images out.",
        "Conflicts: 57 groups of identical images (160 rows) carry more than one label.",
        "Label noise: the label is the class of the search word that found the picture. How often people agree with "
        "these labels is usually given as 65 ± 5 %. More than 5 of the ten taggers of FER+ (E. Barsoum et al. 2016) "
        "agree on one of the seven emotions for 2,854 of the PublicTest and 2,720 of the PrivateTest images only.",
        "Not faces: 12 images are entirely black, under five different labels, and all ten FER+ taggers called 173 "
        "images not a face: error pages, cartoons, warning signs, but also faces badly cropped or turned.",
        "Class imbalance: 25 % of the training images are happy, 1.5 % are disgust.",
    ),
    biases=(
        "The faces are those that a web search ranks first. Many look posed or acted, some are stock photographs "
        "with watermarks; spontaneous and weak expressions may be few.",
        "Studies of networks for facial expressions find that they do better on some groups of people than on others "
        '(for example "Faces of Fairness", arXiv 2502.11049, with FER2013 among its four sets).',
        "Seven words are one way of reading faces, and no list of what faces can show.",
    ),
)

_FACIAL_EXPRESSIONS = Facts(
    origin=(
        "muxspace/facial_expressions on GitHub: 13,718 pictures, most of them from Labeled Faces in the Wild (press "
        "photographs of the early 2000s), others that look like frames of Indian films; eight classes. The "
        "repository is under the Apache License 2.0; the photographs may carry other rights. Nobody shown has been "
        "asked.",
    ),
    faults=(
        "Labels are single opinions: each picture was labelled by one contributor, and two of the five gave 90 % of "
        "all labels. A pull request there (number 4) says that labels came from Microsoft's Emotion API, a "
        "classifier.",
        "Class imbalance: neutral and happiness are 92 % of the pictures, and there are 21 of fear and 9 of "
        "contempt. Accuracy says next to nothing here: read the macro-F1 and each class with its interval.",
        "The same people return: about 5,630 names, 1,630 of them with several pictures (up to 520). A split by "
        "picture puts the same person on both sides and flatters; a split by person does not.",
        "Colour and size give the contributor away, and with the contributor the class: 195 of 208 disgust pictures "
        "are from the set of one contributor, nearly all in colour. A network can learn that in place of a face.",
        "8 pictures are labelled twice, one of them with two classes; 36 have no label; two pairs of files are "
        "identical.",
    ),
    biases=(
        "Labeled Faces in the Wild shows public figures as the press photographed them. Its own authors warn that "
        "women, children, old people and many ethnicities are few or missing in it.",
        "The rare classes come from few people and one contributor: what is learned of them may be those people.",
    ),
)

_SYNTHETIC = Facts(
    origin=(
        "`synthetic_faces`: drawings made by the program from a seed, with brows, eyes and a mouth in seven "
        "expressions. They show nobody.",
    ),
    faults=(
        "They are far easier than photographs, and each label is right by construction. They are there to show that "
        "a pipeline works. **No number on them says anything about faces of people.**",
    ),
    biases=(
        "A drawing's expression is what its programmer took for one. Do not use the network on pictures of people.",
    ),
)

_FOLDER = Facts(
    origin=("A folder of pictures of the user's own, one folder a class; nothing else is known of it.",),
    faults=(
        "Unknown. `python -m fer_jax.audit --data=FOLDER` looks for twins, conflicting labels and blank pictures. "
        "Say here where the pictures are from, who is in them and who labelled them.",
    ),
    biases=("Unknown, and to be filled in by who knows the pictures.",),
)

_UNKNOWN = _FOLDER._replace(origin=("Nothing is known here of where these pictures are from.",))

MAY_BE_APPARENT = (
    "The classes are what the pictures were sorted into. What the pictures show is **not known here**. If they are "
    f"faces sorted by expression, this holds: {APPARENT[0].lower()}{APPARENT[1:]}"
)

FACTS = {
    "fer2013": _FER2013,
    "facial_expressions": _FACIAL_EXPRESSIONS,
    "synthetic_faces": _SYNTHETIC,
    "folder": _FOLDER,
}
"""By the name of the data set: those that show faces, or may."""

DIGITS = {
    "digits": Facts(
        origin=(
            "scikit-learn's `load_digits`: 1,797 handwritten digits of 8x8 pixels in 17 shades of gray, the test part "
            'of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak 1998, UCI Machine Learning '
            "Repository), here scaled up to 28x28. 1,437 train and 360 test, drawn once by a seed.",
        ),
        faults=(
            "They are few and small: they are there to show that a pipeline works. 1 % of the test split is 4 images.",
            "Nobody kept the writers apart: the same hand is in both splits, which flatters.",
        ),
        biases=("The handwriting of 13 people.",),
    ),
    "mnist": Facts(
        origin=(
            'MNIST (Y. LeCun, L. Bottou, Y. Bengio and P. Haffner 1998, "Gradient-Based Learning Applied to Document '
            'Recognition"): 70,000 handwritten digits of 28x28 gray pixels, 60,000 to train on and 10,000 to test, '
            "white on black, scaled into 20x20 and centred by their mass.",
            "They were written by employees of the US Census Bureau and by high-school students; nobody in the test "
            "split wrote a digit of the training split.",
        ),
        faults=(
            "It is nearly solved: 0.1 % of the test split is 10 images, so small differences between networks are "
            "within what chance gives. A few test images have a label that people doubt.",
            "The test split has been looked at by everybody for decades, so recipes are fitted to it, these too.",
        ),
        biases=(
            "American handwriting of around 1990: a 1 with a long upstroke, a crossed 7 or a 4 of another school is "
            "rare or missing.",
        ),
    ),
}
"""By the name of the data set: those that show digits."""

DIGITS_OUT_OF_SCOPE = (
    "Letters, several digits in one picture, or no digit: the network has no such answer, and gives one of its ten.",
    "Reading what must not be misread (cheques, doses, addresses) without a person who looks again.",
)


def facts_of(name: str) -> Facts:
    """What is known of the data set of a name; of one that is not known here, that it is unknown."""
    return FACTS.get(name) or DIGITS.get(name) or _UNKNOWN


def subject_of(name: str) -> str:
    """What the pictures of a data set show: 'face', 'digit', or '' where nobody has said it."""
    if name in DIGITS:
        return "digit"
    return "face" if name in FACTS and FACTS[name] is not _FOLDER else ""
