"""Links to the site's own viewers, such as OHIF or Weasis: addresses with a study's UID or accession number in it."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from carina.service.database.study_tables import Study

_PLACES = re.compile(r"\{(StudyInstanceUID|AccessionNumber)\}")


def viewer_links(viewers: Mapping[str, str], study: Study) -> list[tuple[str, str]]:
    """Return the name and the address of each viewer that can show a study.

    Values of the study are quoted, so that they can lead nowhere else than the address says. A viewer that needs a
    value which the study does not have is left out.
    """
    values = {"StudyInstanceUID": study.study_instance_uid, "AccessionNumber": study.accession_number}
    links = []
    for name, address in viewers.items():
        if all(values[place] for place in _PLACES.findall(address)):
            links.append((name, _PLACES.sub(lambda match: quote(values[match[1]] or "", safe=""), address)))
    return links
