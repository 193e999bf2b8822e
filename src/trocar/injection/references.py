"""The publications that the methods of a simulated injection rest on; beside each constant stands its own source."""

from __future__ import annotations

#: In the order in which they are used: bone, flow, cement, heat, statistics.
REFERENCES: tuple[str, ...] = (
    "Baroud G, Falk R, Crookshank M, Sponagel S, Steffen T. Experimental and theoretical investigation of directional "
    "permeability of human vertebral cancellous bone for cement infiltration. J Biomech 2004;37(2):189-196.",
    "Nauman EA, Fong KE, Keaveny TM. Dependence of intertrabecular permeability on flow direction and anatomic site. "
    "Ann Biomed Eng 1999;27(4):517-524.",
    "Bruschke MV, Advani SG. A finite element/control volume approach to mold filling in anisotropic porous media. "
    "Polym Compos 1990;11(6):398-405.",
    "Economou EN. Green's Functions in Quantum Physics. 3rd ed. Springer 2006.",
    "Carreau PJ. Rheological equations from molecular network theories. Trans Soc Rheol 1972;16(1):99-127.",
    "Cannella WJ, Huh C, Seright RS. Prediction of xanthan rheology in porous media. SPE 18089, 1988.",
    "Krebs J, Ferguson SJ, Bohner M, et al. Clinical measurements of cement injection pressure during vertebroplasty. "
    "Spine 2005;30(5):E118-E122.",
    "Nicholas MK, Waters MG, Holford KM, Adusei G. Analysis of rheological properties of bone cements. J Mater Sci "
    "Mater Med 2007;18(7):1407-1412.",
    "Quarini GL, Learmonth ID, Gheduzzi S. Numerical predictions of the thermal behaviour and resultant effects of "
    "grouting cements while setting prosthetic components in bone. Proc Inst Mech Eng H 2006;220(5):625-634.",
    "Pennes HH. Analysis of tissue and arterial blood temperatures in the resting human forearm. J Appl Physiol "
    "1948;1(2):93-122.",
    "Douglas J. Alternating direction methods for three space variables. Numer Math 1962;4:41-63.",
    "Sapareto SA, Dewey WC. Thermal dose determination in cancer therapy. Int J Radiat Oncol Biol Phys "
    "1984;10(6):787-800.",
    "Haveman J, Sminia P, Wondergem J, et al. Effects of hyperthermia on the central nervous system: what was learnt "
    "from animal studies? Int J Hyperthermia 2005;21(5):473-487.",
    "Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc "
    "1927;22(158):209-212.",
    "Newcombe RG. Improved confidence intervals for the difference between binomial proportions based on paired data. "
    "Stat Med 1998;17(22):2635-2650.",
)
