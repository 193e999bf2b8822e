"""The patient: levels, labels, vertebrae, lesions, the phantom. Floor 2; knows no physics."""
