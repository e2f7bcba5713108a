"""Names of accounts as people write them; each case names the report."""

import pytest
from agents import Agent

from backchannel.accounts.names import checked
from backchannel.errors import ConflictError, InvalidInputError
from backchannel.testing import ScriptedModel
from people_who_log_in import OTHER_PASSWORD, PASSWORD, SETTINGS, people_of

pytestmark = pytest.mark.row("F2")


# growilabs/growi#6232, sendgrid/wordpress#20, gocodebox/lifterlms#182, nodeSolidServer/node-solid-server#1571, nextcloud/
# server#10086, diaspora/diaspora#7697: a name with a plus could be had, and nobody came in with it.
# documenso/documenso#2397, datahub-project/datahub#5658, Budibase/budibase#3110, karakeep-app/karakeep#411: capitals made
# somebody else of a person. home-assistant/architecture#301: so did the keyboard of another system.
async def test_each_way_to_write_a_name_is_the_person(serve):
    served = await serve(Agent(name="A", model=ScriptedModel()), **SETTINGS)
    people = people_of(served)
    written = {
        "jon+solidtest@snap.example": ["JON+SolidTest@Snap.example", " jon+solidtest@snap.example "],
        "o'neil_j.r-2": ["O'Neil_J.R-2"],
        "\u00c4ffin": ["A\u0308ffin", "\u00e4ffin", "A\u0308FFIN"],
        "\u0438\u0432\u0430\u043d\u043e\u0432": ["\u0418\u0412\u0410\u041d\u041e\u0412"],
        "\u3075\u305f\u3070": ["\u3075\u305f\u306f\u3099"],
        "stra\u00dfe": ["STRASSE", "strasse"],
        "admin": ["\uff21\uff44\uff4d\uff49\uff4e", "\u24d0dmin"],
    }
    for number, (name, others) in enumerate(written.items()):
        await people.add(name, f"{PASSWORD} {number}")
        for each in (name, *others):
            fields = {"grant_type": "password", "username": each, "password": f"{PASSWORD} {number}"}
            answer = await served.person.http.post("/auth/token", data=fields)
            assert answer.status_code == 200, each
            with pytest.raises(ConflictError):
                await people.add(each, OTHER_PASSWORD)


# freelawproject/courtlistener#5807, bytebase/bytebase#18943, openstreetmap/openstreetmap-website#1419 and #3919,
# KIRAKIRA-DOUGA/KIRAKIRA-Rosales#52: names that nobody can tell apart.
@pytest.mark.parametrize(
    "name",
    [
        "\u0430\u217em\u0456\u0578\u0456\u0455t\u0433\u0430t\u043e\u0433",  # courtlistener's administrator
        "test\u043e@gmail.com",
        "ad\u200bmin",
        "ad\u00admin",
        "\u202enimda",
        "admin\u3164",
        "ad min",
        "admin\u00a0x",
        "",
        ".",
        "@@@",
        "a" * 101,
    ],
)
def test_names_that_nobody_can_have(name):
    with pytest.raises(InvalidInputError) as refused:
        checked(name)
    assert "name" in refused.value.message
