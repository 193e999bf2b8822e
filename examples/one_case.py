"""One case in seven lines, on a patient that is drawn, so that no data are needed."""

import trocar
from trocar.anatomy.phantom import PhantomSpec, phantom
from trocar.procedures import Vertebroplasty

patient = phantom(PhantomSpec(levels=("T12", "L1", "L2"), focus="L1"))

anatomy = trocar.read_anatomy(patient.labels, on=patient.ct, scheme="totalseg-v2")
plan = trocar.plan(anatomy, Vertebroplasty(level="L1"))
report = trocar.report(trocar.Case("one-case", plan))
folder = trocar.write(report, "out/one-case")

path = plan.best.trajectories[0]
print(f"{plan.best.name}: {plan.best.reason}")
print(f"{path.skin_to_bone_mm:.0f} mm to bone, {path.bone_to_target_mm:.0f} mm on to the target, {path.grade.value}")
print(f"not checked: {', '.join(plan.not_checked) or 'nothing'}")
print(f"report: {folder / 'report.html'}")
