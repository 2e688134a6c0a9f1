# ruff: noqa: E501 - sentences of many languages, each on its line
"""The encoding of a text is found out, or the text is refused; it never becomes other letters."""

from pathlib import Path

import pytest

from mecam.data.text_files import decoded, is_plausible, read_text
from mecam.errors import DataError

TEXTS = {
    "chinese": (
        ("gbk", "gb18030"),
        "这家餐厅的服务态度很好，菜也新鲜。|我等了一个小时，最后还是走了。|你觉得怎么样？|他们昨天才搬到北京。|真没想到会这样！",
    ),
    "traditional": (
        ("big5", "cp950"),
        "這家餐廳的服務態度很好，菜也新鮮。|我等了一個小時，最後還是走了。|你覺得怎麼樣？|他們昨天才搬到臺北。|真沒想到會這樣！",
    ),
    "japanese": (
        ("cp932", "euc_jp"),
        "この店はサービスがとてもいいです。|一時間待って、結局帰りました。|どうでしたか？|東京に引っ越したばかりだそうだ。|信じられない！",
    ),
    "korean": (
        ("euc_kr", "cp949"),
        "이 식당은 서비스가 아주 좋아요.|한 시간을 기다리다가 결국 갔습니다.|어땠어요?|그들은 어제 서울로 이사했다.|믿을 수가 없어!",
    ),
    "russian": (
        ("cp1251", "koi8_r", "iso8859_5", "cp866"),
        "В этом ресторане очень хорошо обслуживают.|Я ждал целый час и всё-таки ушёл.|Ну как тебе?|Они вчера переехали в Москву.|Просто не верится!",
    ),
    "ukrainian": (("cp1251", "koi8_u"), "У цьому ресторані дуже добре обслуговують.|Я чекав цілу годину і все-таки пішов.|Не віриться, що їх немає!"),
    "greek": (("cp1253", "iso8859_7"), "Σε αυτό το εστιατόριο η εξυπηρέτηση είναι πολύ καλή.|Περίμενα μία ώρα και τελικά έφυγα.|Πώς σου φάνηκε;"),
    "hebrew": (("cp1255", "iso8859_8"), "השירות במסעדה הזאת טוב מאוד.|חיכיתי שעה ובסוף הלכתי.|איך היה לך?"),
    "arabic": (("cp1256", "iso8859_6"), "الخدمة في هذا المطعم جيدة جدا.|انتظرت ساعة كاملة ثم ذهبت.|كيف كان الأمر بالنسبة لك؟"),
    "thai": (("cp874",), "ร้านอาหารนี้บริการดีมาก|ฉันรออยู่หนึ่งชั่วโมงแล้วก็กลับบ้าน|คุณคิดว่าเป็นยังไงบ้าง"),
    "french": (("cp1252", "latin_1"), "Le service de ce restaurant est très agréable.|J'ai attendu une heure et j'ai fini par m'en aller, hélas.|Ça t'a plu ? C'était génial."),
    "german": (("cp1252", "latin_1"), "Die Bedienung in diesem Lokal ist wirklich nett, man fühlt sich wohl.|Ich habe eine geschlagene Stunde gewartet und bin dann über die Straße gegangen.|Wie hat's dir gefallen? Schön!"),
    "spanish": (("cp1252", "latin_1"), "El servicio de este restaurante está muy bien.|Esperé una hora y al final me marché.|¿Qué tal te pareció? ¡Increíble!"),
    "portuguese": (("cp1252",), "O serviço deste restaurante é muito bom.|Esperei uma hora e no fim fui embora, não dá.|O que achou? Inacreditável!"),
    "swedish": (("cp1252",), "Servicen på den här restaurangen är jättebra.|Jag väntade i en timme och sedan gick jag därifrån.|Vad tyckte du? Otroligt, så klart!"),
    "polish": (("cp1250",), "Obsługa w tej restauracji jest bardzo miła.|Czekałem godzinę i w końcu wyszedłem.|Jak ci się podobało? Nie do wiary, że już zamknięte!"),
    "czech": (("cp1250",), "Obsluha v této restauraci je opravdu příjemná.|Čekal jsem hodinu a nakonec jsem odešel.|Jak se ti to líbilo? To není možné!"),
    "hungarian": (("cp1250",), "Ebben az étteremben nagyon jó a kiszolgálás.|Egy órát vártam, aztán végül elmentem, sajnos.|Hogy tetszett? Nem hiszem el, őrület!"),
    "turkish": (("cp1254",), "Bu restoranda servis gerçekten çok iyi, beğendim.|Bir saat bekledim, sonunda çıkıp gittim.|Sence nasıldı? İnanamıyorum, kapanmış!"),
}  # fmt: skip
CASES = [(language, encoding) for language, (encodings, _) in TEXTS.items() for encoding in encodings]


def samples(language: str, encoding: str) -> list[str]:
    """Every line alone, and lines together, bare and as captions."""
    lines = TEXTS[language][1].split("|")
    texts = [*lines, "\n".join(lines[:2]), "\n".join(lines)]
    captions = [f"1\n00:00:01,000 --> 00:00:02,500\n{text}\n" for text in texts]
    return [text for text in (*texts, *captions) if not text.encode(encoding).isascii()]


@pytest.mark.parametrize(("language", "encoding"), CASES)
def test_a_short_text_is_read_right_or_refused(language: str, encoding: str) -> None:
    given = samples(language, encoding)
    found = [decoded(text.encode(encoding)) for text in given]
    assert [f[0] for f, text in zip(found, given, strict=True) if f is not None and f[0] != text] == []
    # Those in usual encodings are read; one short line in ten may be refused.
    assert sum(f is not None for f in found) >= 0.9 * len(given)
    assert all(f[1] for f in found if f is not None)
    assert found[-1] is not None  # all lines together


@pytest.mark.parametrize("encoding", ["iso8859_2", "cp850", "cp437", "cp1258", "hz", "cp500"])
@pytest.mark.parametrize("language", ["polish", "czech", "german", "french", "korean", "chinese", "portuguese"])
def test_an_unusual_encoding_is_never_taken_for_another(language: str, encoding: str) -> None:
    for text in TEXTS[language][1].split("|"):
        try:
            data = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        found = decoded(data)
        # What is ASCII by its bytes (HZ) says nothing of its encoding.
        assert found is None or found[0] == text or data.isascii()


@pytest.mark.parametrize(
    "text",
    ["café", "It’s fine", "“No” – really…", "Voilà.", "a naïve idea", "Tschüß!", "El niño.", "20 °C", "très déjà-vu, l'été 25 €", "smørrebrød på Ærø"],
)  # fmt: skip
def test_a_few_western_letters_are_western(text: str) -> None:
    assert decoded(text.encode("cp1252")) == (text, "Windows-1252 (Western European)")


@pytest.mark.parametrize("text", ["plain", "Grüße, 你好, привет, שלום 🙂", "a\nb"])
def test_unicode_is_told_by_its_bytes(text: str) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        assert decoded(text.encode(encoding)) == (text, "")
    for encoding in ("utf-16-le", "utf-16-be"):
        assert decoded("\ufeff".encode(encoding) + text.encode(encoding)) == (text, "")
    captions = f"1\n00:00:01,000 --> 00:00:02,500\n{TEXTS['chinese'][1]}\n"
    for encoding in ("utf-16-le", "utf-16-be"):
        assert decoded(captions.encode(encoding)) == (captions, "")


def test_text_in_the_wrong_encoding_is_not_plausible() -> None:
    russian, chinese, japanese = (TEXTS[language][1] for language in ("russian", "chinese", "japanese"))
    for wrong in (
        russian.encode("cp1251").decode("cp1252"),
        russian.encode("koi8_r").decode("cp1251"),
        russian.encode("utf-8").decode("cp1251", errors="ignore"),
        russian.encode("cp866").decode("cp1251", errors="ignore"),
        chinese.encode("gbk").decode("latin-1"),
        japanese.encode("cp932").decode("cp1252", errors="ignore"),
    ):
        assert not is_plausible(wrong)
    for _, text in TEXTS.values():
        assert is_plausible(text)


def test_what_was_found_out_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\r\r\n")
    assert read_text(path, most=100) == ("one\ntwo\nthree\n", ())
    path.write_bytes(TEXTS["chinese"][1].encode("gbk"))
    assert read_text(path, most=1000) == (TEXTS["chinese"][1], ("not in UTF-8: read as GBK (Chinese)",))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bytes(range(256)), "binary data"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "binary data"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "binary data"),
        (b"x" * 2000, "larger than any text file"),
        (b"\xe8\xff\xfe\xdb ab", "not certain"),
        ("Да".encode("cp1251"), "not certain"),
        (b"\xff\xfea", "binary data|not certain"),
    ],
)
def test_what_is_no_text_or_not_certain_is_refused(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_text(path, most=1000)
    assert caught.value.where == str(path)
    if message == "not certain":
        assert "UTF-8" in str(caught.value.fix)
