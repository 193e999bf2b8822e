"""Labels are believed only as far as the geometry bears them out."""

import trocar
from trocar.anatomy.phantom import PhantomSpec, phantom
from trocar.errors import LabelSchemeError

patient = phantom(PhantomSpec(levels=("L1", "L2", "L3"), focus="L2"))

# the wrong scheme: these numbers mean other bones in TotalSegmentator 1
try:
    trocar.read_anatomy(patient.labels, on=patient.ct, scheme="totalseg-v1")
except LabelSchemeError as error:
    refusal = str(error)
    print(f"refused: {refusal}\n")

anatomy = trocar.read_anatomy(patient.labels, on=patient.ct, scheme="totalseg-v2")
print(f"whole levels: {', '.join(str(level) for level in anatomy.whole_levels)}")
print(f"worked out, not labelled: {', '.join(sorted(anatomy.derived))}")
for level in anatomy.whole_levels:
    for side, pedicle in anatomy.vertebra(level).pedicles.items():
        print(f"{level} {side.value} pedicle: {pedicle.width} wide, {pedicle.height} high")
