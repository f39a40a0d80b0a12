"""What the guards know of words: which carry a meaning that one changed letter turns round, and which carry none.

Data alone. A word that is in none of these tables is an ordinary one, which has to be the same in both texts, too; the
kinds decide what is said of a difference, and what `--cache semantic` would compare without its last guard.
"""

from __future__ import annotations

__all__ = [
    "AMBIGUOUS",
    "CONFUSABLE",
    "CURRENCIES",
    "EMPHASISED",
    "KINDS",
    "LINKING",
    "MONTHS",
    "NUMBERS",
    "PHRASES",
    "RELATIVE",
    "RELATIVE_PERIODS",
    "UNITS",
]


def _kinds(**words: str) -> dict[str, str]:
    return {word: kind for kind, some in words.items() for word in some.split()}


KINDS = _kinds(
    negation="""
        not no never none nobody nothing nowhere neither nor without cannot hardly barely scarcely unless except lack
        lacks lacking failed fails fail refuse refuses refused deny denies denied denying yes
        nicht kein keine keinen keinem keiner keines nie niemals nichts niemand ohne weder nein ja
        ne pas jamais rien aucun aucune personne sans ni non oui nunca nada nadie ningún ninguna sin tampoco sí
        mai niente nessuno nessuna senza né sì não nem sem nunca sim niet geen nooit niets zonder nee
        nie bez żaden brak inte ingen aldrig utan ikke aldri uten ei""",
    order="""
        before after from to until till since between into onto over under above below behind ahead first second third
        last next previous prior later earlier then through via against for by with off on in out up down left right
        north south east west top bottom front back inside outside toward towards near far who whom whose
        vor nach von zu bis aus über unter links rechts zuerst zuletzt vorher nachher zwischen gegen mit
        avant après de à vers depuis entre gauche droite contre antes después desde hasta izquierda derecha
        prima dopo da sinistra destra verso""",
    antonym="""
        increase increases increased increasing decrease decreases decreased decreasing raise raised lower lowered
        reduce reduced buy bought sell sold seller buyer accept accepts accepted reject rejects rejected approve approved
        decline declined open opened opens close closed closes start started starts stop stopped stops enable enabled
        disable disabled allow allowed allows forbid forbidden prohibit prohibited permit permitted include included
        exclude excluded includes excludes add added remove removed win won lose lost lend lent borrow borrowed
        arrive arrives arrived arrival depart departs departed departure push pull import imported export exported
        credit debit profit loss pass passed hire hired fire fired love loved hate hated like liked dislike disliked
        good bad better best worse worst high low higher lowest lowers highest big small large little hot cold warm cool
        old new early late fast slow easy hard cheap expensive full empty true false positive negative safe unsafe
        legal illegal happy unhappy satisfied dissatisfied satisfied unsatisfied possible impossible available unavailable
        complete incomplete valid invalid correct incorrect present absent internal external domestic international
        minimum maximum min max upper inner outer acute chronic benign malignant normal abnormal stable unstable
        improve improved improving worsen worsened worsening gain gained credit lender borrower landlord tenant employer
        employee sender recipient giver receiver plaintiff defendant mother father son daughter husband wife brother
        sister male female man woman boy girl refund refunded charge charged paid unpaid pay
        send sent inbound outbound upgrade downgrade upgraded downgraded login logout online offline morning evening
        day night kaufen verkaufen kauf verkauf öffnen schließen gut schlecht groß klein mehr weniger""",
    quantifier="""
        all some any every each most many few several much more less fewer least half both either only just almost
        nearly exactly approximately about around over once twice thrice double triple single enough too very
        always often sometimes rarely usually seldom occasionally
        alle einige jeder jede jedes viele wenige mehrere mehr weniger nur fast immer oft manchmal selten
        tous toutes chaque quelques plusieurs plus moins seulement toujours souvent parfois rarement
        todos todas algunos cada muchos pocos más menos solo sólo siempre tutti alcuni ogni molti pochi più meno""",
    modality="""
        must may might can could shall should will would ought need needs have has had required optional mandatory
        possibly probably perhaps maybe certainly definitely
        muss müssen darf dürfen kann können soll sollen könnte sollte doit doivent peut peuvent devrait
        debe deben puede pueden deve devono può possono""",
    tense="is are was were be been being am do does did done going gone went war waren ist sind est était es era",
    conjunction="and or but if because although while when whereas und oder aber wenn et ou mais si y o pero e ma se",
    person="""
        i you he she it we they me him her us them my your his its our their mine yours hers ours theirs myself
        yourself himself herself itself ourselves themselves ich du er sie es wir ihr je tu il elle nous vous ils""",
)
"""The kind of a word, in small letters. A word of several languages has one kind: any difference is one."""

RELATIVE = frozenset(
    """
    today tonight tomorrow yesterday now nowadays currently current recently recent latest ago upcoming
    present-day newest lately
    heute jetzt gestern morgen vorgestern übermorgen derzeit aktuell aktuelle aktuellen aktueller aktuelles gerade
    momentan kürzlich neulich
    aujourd'hui maintenant hier demain actuellement actuel actuelle récemment
    hoy ahora ayer mañana actualmente actual recientemente
    oggi adesso ora ieri domani attualmente attuale recentemente
    hoje agora ontem amanhã atualmente atual vandaag nu gisteren morgen huidige onlangs
    dziś dzisiaj teraz wczoraj jutro obecnie idag nu igår imorgon i dag nå i går сегодня сейчас вчера завтра
    """.split()
) - {"i"}
"""Words whose meaning depends on when they are read: a row with one has no semantic twin at another time."""

RELATIVE_PERIODS = (
    frozenset(
        """
        last next this past coming previous following recent letzte letzten letzter letztes nächste nächsten nächster
        diese diesen dieser dieses vergangene vergangenen kommende kommenden dernier dernière prochain prochaine
        cette ce semaine passée último última próximo próxima este esta scorso scorsa prossimo prossima questo questa
        """.split()
    ),
    frozenset(
        """
        second minute hour day week weekend fortnight month quarter year decade century morning afternoon evening night
        spring summer autumn fall winter season days weeks months years hours minutes
        monday tuesday wednesday thursday friday saturday sunday january february march april may june july august
        september october november december christmas easter
        tag woche monat jahr nacht abend wochenende montag dienstag mittwoch donnerstag freitag samstag sonntag
        wochen monate jahre sommer winter jour semaine mois an année nuit lundi mardi mercredi jeudi vendredi samedi
        dimanche passée día semana mes año noche lunes martes miércoles jueves viernes sábado domingo
        giorno settimana mese anno notte lunedì martedì mercoledì giovedì venerdì sabato domenica
        """.split()
    ),
)
"""Two words in a row that are a relative time together: one of the first set and one of the second."""

AMBIGUOUS = frozenset(
    """
    us it may march polish turkey who aids will mark bill rose frank jack apple amazon target shell visa orange mercury
    china jordan chase gap or in me on oracle java python august reading nice bath cork buffalo mobile
    hood baker smith cook carter mason potter tailor turner fisher hunter young brown white black green gray grey wood
    stone rich drew grant grace hope faith joy summer april june ruby amber crystal dawn iris lily violet miles art
    ram ace sun windows word excel teams slack zoom box discover square stripe meta alphabet ford lincoln delta united
    """.split()
)
"""Words that are others, or names, in capitals: their case has to be known to be the same."""

EMPHASISED = frozenset(
    "i not no never all must only very please now always any every none do does did".split()
)
"""Words that people put into capitals for emphasis alone."""

NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty".split(),
        start=2,
    )
} | {
    word: str(10 * number)
    for number, word in enumerate("thirty forty fifty sixty seventy eighty ninety".split(), start=3)
}
"""Number words that are digits. "One" is none of them: it is a pronoun more often."""

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan",
            "february feb",
            "march mar",
            "april apr",
            "may",
            "june jun",
            "july jul",
            "august aug",
            "september sept sep",
            "october oct",
            "november nov",
            "december dec",
        ),
        start=1,
    )
    for name in names.split()
}

CURRENCIES = {
    "€": "eur",
    "eur": "eur",
    "euro": "eur",
    "euros": "eur",
    "£": "gbp",
    "gbp": "gbp",
    "$": "$",
    "¥": "¥",
    "usd": "usd",
    "chf": "chf",
    "₹": "inr",
    "inr": "inr",
}
"""Signs and names of money. "$" is not the US dollar for sure, nor a pound always money."""

UNITS = frozenset(
    """
    mg g kg t ml cl l mm cm m km in ft lb lbs oz mcg µg iu kb mb gb tb kib mib gib hz khz mhz ghz w kw kwh mwh v kv a mah
    s ms min h hr hrs mph kmh bar psi °c °f c f x k
    """.split()
)
"""What may be written right behind a number as well as apart from it."""

PHRASES = {
    "as soon as possible": "asap",
    "e mail": "email",
    "e-mail": "email",
    "e-mails": "emails",
    "in order to": "to",
    "would like": "want",
    "wish to": "want to",
    "get in touch with": "contact",
    "prior to": "before",
    "per cent": "%",
    "percent": "%",
    "due to": "because of",
    "owing to": "because of",
    "even though": "although",
    "though": "although",
    "for instance": "for example",
    "e g": "for example",
    "utilize": "use",
    "utilise": "use",
    "utilized": "used",
    "utilised": "used",
    "purchased": "bought",
    "purchase": "buy",
    "commence": "start",
    "commenced": "started",
    "begin": "start",
    "began": "started",
    "begins": "starts",
    "additionally": "also",
    "furthermore": "also",
    "moreover": "also",
    "thus": "therefore",
    "hence": "therefore",
    "approx": "approximately",
    "physician": "doctor",
    "faulty": "defective",
    "telephone": "phone",
    "television": "tv",
    "refrigerator": "fridge",
    "ok": "okay",
    "vs": "versus",
    "am unable to": "can not",
    "is unable to": "can not",
    "are unable to": "can not",
    "was unable to": "could not",
    "were unable to": "could not",
    "am not able to": "can not",
    "is not able to": "can not",
    "are not able to": "can not",
    "cannot": "can not",
    "can't": "can not",
    "cant": "can not",
    "won't": "will not",
    "shan't": "shall not",
    "dont": "do not",
    "doesnt": "does not",
    "didnt": "did not",
    "isnt": "is not",
    "wasnt": "was not",
    "couldnt": "could not",
    "wouldnt": "would not",
    "shouldnt": "should not",
    "havent": "have not",
    "hasnt": "has not",
    "it's": "it is",
    "that's": "that is",
    "there's": "there is",
    "he's": "he is",
    "she's": "she is",
    "what's": "what is",
    "colour": "color",
    "colours": "colors",
    "favourite": "favorite",
    "behaviour": "behavior",
    "centre": "center",
    "cancelled": "canceled",
    "cancelling": "canceling",
    "travelled": "traveled",
    "travelling": "traveling",
    "labelled": "labeled",
    "organisation": "organization",
    "organise": "organize",
    "organised": "organized",
    "apologise": "apologize",
    "recognise": "recognize",
    "programme": "program",
    "licence": "license",
    "cheque": "check",
}
"""Words and phrases that say the same as others; the longest that fits is taken."""

LINKING = frozenset(
    """
    then afterwards afterward later next finally subsequently previously before after earlier first second third last
    he she they it this that these those him her them his its their theirs hers there here such so therefore however but
    instead also too another other others same again which former latter otherwise both neither either and or because
    meanwhile consequently nevertheless still yes no not what how why where when who whose following below above
    respectively
    dann danach später zuerst er sie es dieser diese dieses aber auch deshalb puis ensuite il elle ce cette mais
    luego después él ella este esta pero poi lui lei questo ma
    """.split()
)
"""Words by which a sentence leans on the one before it: where there is one, sentences stay in their order."""

CONFUSABLE = frozenset(
    """
    desert dessert thorough through though contract contact causal casual marital martial united untied sacred scared
    compliment complement inhibit inhabit prescribe proscribe prescribed proscribed prescription proscription reality
    realty statue statute diner dinner planed planned hoping hopping staring starring scraped scrapped adverse averse
    ingenious ingenuous perspective prospective diffuse defuse discrete discreet stationary stationery personal personnel
    principal principle reserve reverse reserved reversed resigned designed assured insured ensured assure insure ensure
    intension intention conversation conservation confirm conform confirmed conformed affected effected infected
    infection injection inflection reaction traction abduction adduction abducted adducted hypertension hypotension
    inflation deflation debited credited patent patient patients patents parental parenteral perineal peroneal
    ileum ilium trachea trochlea mucous mucus humorous humerus palpation palpitation dilation dilution
    expect except expected excepted access excess accessed assessed decease disease deceased diseased invested infested
    county country costumer customer costume custom martian warranty warrant moral morale human humane
    impassable impossible unaware beware barely rarely bearing tearing renting rending lending landing leading
    loading lapsed elapsed passed posted pasted tasted wasted listed lifted fitted filled failed mailed nailed
    quite quiet sliver silver carton cartoon curtain certain message massage manager manger manor minor
    surgery surgeon brother bother weather whether winder window winter printer painter pointer counter
    altar alter allusion illusion elusion eligible illegible ineligible elicit illicit eminent imminent
    formerly formally physical fiscal psychical charted charred chartered bonded banded branded
    complaint compliant signed singed perfect prefect pervious previous barking braking scarred filing filling
    taping tapping striping stripping wining winning planing planning caning canning loping lopping sloping slopping
    immoral immortal amoral atypical typical apolitical political asymmetric symmetric
    """.split()
)
"""Words that are no misspelling of each other though they look like it."""
