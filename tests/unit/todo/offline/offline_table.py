"""Sentences and what they must lead to, for `test_offline_table.py`.

The clock stands at Sunday 2026-11-22, 12:00. The list holds, in the order it is shown: Pay rent (todo_3, due 20
November), Call the dentist (todo_2, due Tuesday 10:00, priority 4), Buy oat milk (todo_1), Water plants (todo_4,
in progress), and the completed Old report (todo_5).
"""

from typing import Any

from offline_fakes import FakeTodos

type Call = tuple[str, dict[str, Any]]

SEED: list[tuple[str, dict[str, Any]]] = [
    ("Buy oat milk", {}),
    ("Call the dentist", {"due_date": "2026-11-24T10:00:00", "priority": 4}),
    ("Pay rent", {"due_date": "2026-11-20"}),
    ("Water plants", {"status": "in_progress"}),
    ("Old report", {"status": "completed", "completed_at": "2026-11-22T10:00:00Z"}),
]
MILK, DENTIST, RENT, PLANTS, REPORT = (f"todo_{number}" for number in range(1, 6))
FRIDAY, TOMORROW = "2026-11-27", "2026-11-23"
LOOK: Call = ("list_todos", {"limit": 100})


def seeded() -> FakeTodos:
    """The list that the sentences are said about."""
    todos = FakeTodos()
    for title, fields in SEED:
        todos.put(title, **fields)
    return todos


def _add(title: str, due: str | None = None, priority: int | None = None, description: str = "") -> Call:
    fields = {"title": title, "description": description or None, "priority": priority, "due_date": due}
    return "create_todo", {name: value for name, value in fields.items() if value is not None}


def _change(todo_id: str, **fields: Any) -> Call:
    return "update_todo", {"todo_id": todo_id, **fields}


def _done(todo_id: str) -> Call:
    return "complete_todo", {"todo_id": todo_id}


def _delete(todo_id: str) -> Call:
    return "delete_todo", {"todo_id": todo_id}


def _find(query: str, **fields: Any) -> Call:
    return "search_todos", {"query": query, **fields, "limit": 50}


def _due(after: str | None, before: str | None) -> Call:
    days = {"due_after": after, "due_before": before}
    return "search_todos", {**{name: value for name, value in days.items() if value}, "limit": 100}


ADDING: list[tuple[str, list[Call]]] = [
    ("add buy oat milk tomorrow at 5pm, high priority", [_add("Buy oat milk", "2026-11-23T17:00:00", 4)]),
    ("add milk, eggs and bread", [_add("Milk"), _add("Eggs"), _add("Bread")]),
    ("add milk and eggs", [_add("Milk"), _add("Eggs")]),
    ("add milk and eggs tomorrow", [_add("Milk", TOMORROW), _add("Eggs", TOMORROW)]),
    (
        "add milk, eggs and bread, high priority",
        [_add("Milk", None, 4), _add("Eggs", None, 4), _add("Bread", None, 4)],
    ),
    ("add buy milk, eggs and bread", [_add("Buy milk"), _add("Buy eggs"), _add("Buy bread")]),
    ("add:\n- milk\n- call mom tomorrow", [_add("Milk"), _add("Call mom", TOMORROW)]),
    ('add "call mom, then dad"', [_add("call mom, then dad")]),
    ("add “call mom, then dad” tomorrow", [_add("call mom, then dad", TOMORROW)]),
    ('add email Bob about "Q3, final" tomorrow', [_add('Email Bob about "Q3, final"', TOMORROW)]),
    ("add delete old photos", [_add("Delete old photos")]),
    ("add find a plumber", [_add("Find a plumber")]),
    ("add rename files to lowercase", [_add("Rename files to lowercase")]),
    ("add mark essays", [_add("Mark essays")]),
    ("add show Tom the house", [_add("Show Tom the house")]),
    ("add move to Berlin on monday", [_add("Move to Berlin", TOMORROW)]),
    ("add buy march madness tickets", [_add("Buy march madness tickets")]),
    ("buy march madness tickets", [_add("Buy march madness tickets")]),
    ("add meet May on may 3", [_add("Meet May", "2027-05-03")]),
    ("add sun cream", [_add("Sun cream")]),
    ("add sunday roast", [_add("Sunday roast")]),
    ("add read the second chapter on sat", [_add("Read the second chapter", "2026-11-28")]),
    (
        "add call mom tomorrow and pay the gas bill on friday",
        [_add("Call mom", TOMORROW), _add("Pay the gas bill", FRIDAY)],
    ),
    ("add call mom and dad", [_add("Call mom and dad")]),
    ("add buy milk and call mom", [_add("Buy milk"), _add("Call mom")]),
    ("add a todo to buy milk and eggs", [_add("Buy milk and eggs")]),
    ("add call Dr. Smith tomorrow", [_add("Call Dr. Smith", TOMORROW)]),
    ("add milk with note: 2 litres", [_add("Milk", description="2 litres")]),
    ("add party next friday 5pm", [_add("Party", "2026-11-27T17:00:00")]),
    ("add stretch in 3 days", [_add("Stretch", "2026-11-25")]),
    ("add visit museum on Dec 3", [_add("Visit museum", "2026-12-03")]),
    ("add submit report on 2026-12-01", [_add("Submit report", "2026-12-01")]),
    ("add ship release 2026-12-01T17:00", [_add("Ship release", "2026-12-01T17:00:00")]),
    ("add review by end of month", [_add("Review", "2026-11-30")]),
    ("add review by end of week", [_add("Review", FRIDAY)]),
    ("add gym this weekend", [_add("Gym", "2026-11-22")]),
    ("add lunch with Sam tomorrow at noon", [_add("Lunch with Sam", "2026-11-23T12:00:00")]),
    ("add call bank at 17:00", [_add("Call bank", "2026-11-22T17:00:00")]),
    ("add call bank at 5", [_add("Call bank", "2026-11-22T17:00:00")]),
    ("add standup at 9", [_add("Standup", "2026-11-23T09:00:00")]),
    ("add call bank in an hour", [_add("Call bank", "2026-11-22T13:00:00")]),
    ("add dinner tonight at 8", [_add("Dinner", "2026-11-22T20:00:00")]),
    ("add look at 5 apartments", [_add("Look at 5 apartments")]),
    ("add pay taxes feb 30", [_add("Pay taxes feb 30")]),
    ("add pay taxes by the 15th of april", [_add("Pay taxes", "2027-04-15")]),
    ("add buy milk today", [_add("Buy milk", "2026-11-22")]),
    ("add buy 1/2 pound of butter", [_add("Buy 1/2 pound of butter")]),
    ("add fix the roof p5", [_add("Fix the roof", None, 5)]),
    ("add fix the roof p1", [_add("Fix the roof", None, 1)]),
    ("add fix the roof, lowest priority", [_add("Fix the roof", None, 1)]),
    ("add fix the roof, medium priority", [_add("Fix the roof", None, 3)]),
    ("add call the bank asap", [_add("Call the bank", None, 5)]),
    ("add call the bank!!!", [_add("Call the bank", None, 5)]),
    ("add call the bank, urgent", [_add("Call the bank", None, 5)]),
    ("add fix the roof no priority", [_add("Fix the roof", None, 0)]),
    ("add visit urgent care", [_add("Visit urgent care")]),
    ("add an urgent task to call the bank", [_add("Call the bank", None, 5)]),
    ("add fix the roof priority 9", [_add("Fix the roof", None, 9)]),
    ('create a new todo called "wash car" due tomorrow', [_add("wash car", TOMORROW)]),
    ("new todo: wash car", [_add("Wash car")]),
    ("remind me to call mom tomorrow", [_add("Call mom", TOMORROW)]),
    ("remind me tomorrow at 9am to call the vet", [_add("Call the vet", "2026-11-23T09:00:00")]),
    ("don't forget to wash the car", [_add("Wash the car")]),
    ("I need to buy eggs", [_add("Buy eggs")]),
    ("put eggs on my list for friday", [_add("Eggs", FRIDAY)]),
    ("Could you add eggs to my shopping list?", [_add("Eggs")]),
    ("hi, can you please add eggs?", [_add("Eggs")]),
    ("set a reminder to stretch at 3pm", [_add("Stretch", "2026-11-22T15:00:00")]),
    ("schedule gym for friday at 10", [_add("Gym", "2026-11-27T10:00:00")]),
    ("call mom", [_add("Call mom")]),
    ("tomorrow I need to buy eggs", [_add("Buy eggs", TOMORROW)]),
    ("today: buy milk, call mom", [_add("Buy milk", "2026-11-22"), _add("Call mom", "2026-11-22")]),
    ("add meeting from 3pm to 5pm", [_add("Meeting from 3pm to 5pm", "2026-11-22T15:00:00")]),
    ("add clean room every monday", [_add("Clean room every monday")]),
    ("add 买牛奶", [_add("买牛奶")]),
    ("add Müll rausbringen tomorrow", [_add("Müll rausbringen", TOMORROW)]),
    ("add iPhone case", [_add("iPhone case")]),
]
LOOKING: list[tuple[str, list[Call]]] = [
    ("what's due this week?", [_due("2026-11-22", "2026-11-29")]),
    ("what's due today?", [_due("2026-11-22", "2026-11-22")]),
    ("what do I have to do tomorrow", [_due(TOMORROW, TOMORROW)]),
    ("anything due on friday?", [_due(FRIDAY, FRIDAY)]),
    ("what is due by friday?", [_due(None, FRIDAY)]),
    ("what's due before dec 3", [_due(None, "2026-12-02")]),
    ("show todos due after monday", [_due("2026-11-24", None)]),
    ("show todos due next week", [_due(TOMORROW, "2026-11-29")]),
    ("show todos due in the next 3 days", [_due("2026-11-22", "2026-11-25")]),
    ("what's overdue?", [_due(None, "2026-11-22")]),
    ("show my list", [LOOK]),
    ("todos", [LOOK]),
    ("what's on my list?", [LOOK]),
    ("what's next?", [LOOK]),
    ("how many todos do I have?", [LOOK]),
    ("show high priority todos", [LOOK]),
    ("show priority 3 todos", [("list_todos", {"priority": 3, "limit": 100})]),
    ("show completed todos", [("list_todos", {"status": "completed", "limit": 100})]),
    ("what did I finish today?", [("list_todos", {"status": "completed", "limit": 100})]),
    ("show tasks in progress", [("list_todos", {"status": "in_progress", "limit": 100})]),
    ("show unfinished tasks", [LOOK]),
    ("shwo my list", [LOOK]),
    ("tomorrow", [_due(TOMORROW, TOMORROW)]),
    ("find milk", [_find("milk")]),
    ("search for plumber", [_find("plumber")]),
    ('search for "oat milk"', [_find("oat milk")]),
    ("find todos about rent", [_find("rent")]),
    ("show me milk", [_find("milk")]),
    ("when is the dentist due?", [_find("dentist")]),
    ("is the rent done?", [_find("rent")]),
    ("do I have milk on my list?", [_find("milk")]),
    ("find milk due next week", [_find("milk", due_after=TOMORROW, due_before="2026-11-29")]),
    ("what can you do?", [("describe_capabilities", {})]),
    ("help", [("describe_capabilities", {})]),
    ("how do I delete a todo?", [("describe_capabilities", {})]),
    ("who are you?", [("describe_capabilities", {})]),
]
CHANGING: list[tuple[str, list[Call]]] = [
    ("mark milk done", [_done(MILK)]),
    ("milk is done", [_done(MILK)]),
    ("I finished the milk", [_done(MILK)]),
    ("check off milk", [_done(MILK)]),
    ("complete mlik", [_done(MILK)]),
    ("complete the dentist and rent", [_done(DENTIST), _done(RENT)]),
    ("mark the dentist and the rent as done", [_done(DENTIST), _done(RENT)]),
    ("mark #1 #2 done", [_done(RENT), _done(DENTIST)]),
    ("complete the dentist on tuesday", [_done(DENTIST)]),
    ("complete all overdue tasks", [_done(RENT)]),
    ("complete old report", []),
    ("reopen old report", [_change(REPORT, status="pending")]),
    ("mark old report as not done", [_change(REPORT, status="pending")]),
    ("start milk", [_change(MILK, status="in_progress")]),
    ("I'm working on the milk", [_change(MILK, status="in_progress")]),
    ("rename milk to soy milk", [_change(MILK, title="Soy milk")]),
    ('rename milk to "soy milk, 2x"', [_change(MILK, title="soy milk, 2x")]),
    ("change milk to soy milk", [_change(MILK, title="Soy milk")]),
    ("move milk to next monday", [_change(MILK, due_date=TOMORROW)]),
    ("change milk to friday", [_change(MILK, due_date=FRIDAY)]),
    ("set the due date of milk to friday at 5", [_change(MILK, due_date="2026-11-27T17:00:00")]),
    ("the milk is due on friday", [_change(MILK, due_date=FRIDAY)]),
    ("postpone the dentist by 2 days", [_change(DENTIST, due_date="2026-11-26T10:00:00")]),
    ("move the dentist to 4pm", [_change(DENTIST, due_date="2026-11-24T16:00:00")]),
    (
        "change the dentist to low priority and due friday",
        [_change(DENTIST, priority=2, due_date=f"{FRIDAY}T10:00:00")],
    ),
    ("remove the due date from rent", [_change(RENT, clear_due_date=True)]),
    ("set priority of milk to 5", [_change(MILK, priority=5)]),
    ("set priority of milk to 9", [_change(MILK, priority=9)]),
    ("make milk high priority", [_change(MILK, priority=4)]),
    ("change milk's priority to low", [_change(MILK, priority=2)]),
    ("raise the priority of the dentist", [_change(DENTIST, priority=5)]),
    ("rent is urgent", [_change(RENT, priority=5)]),
    ("add a note to milk: 2 litres", [_change(MILK, description="2 litres")]),
    ("change the description of milk to 2 litres", [_change(MILK, description="2 litres")]),
    ("delete milk", [_delete(MILK)]),
    ("delet milk", [_delete(MILK)]),
    ("remove milk from my list", [_delete(MILK)]),
    ("take milk off my list", [_delete(MILK)]),
    ("cancel the dentist", [_delete(DENTIST)]),
    ('delete "Buy oat milk"', [_delete(MILK)]),
    ("delete milk and rent", [_delete(MILK), _delete(RENT)]),
    ("delete all completed", [_delete(REPORT)]),
    ("clear completed", [_delete(REPORT)]),
    ("delete all overdue tasks", [_delete(RENT)]),
    ("delete #2", [_delete(DENTIST)]),
    ("delete the last two", [_delete(MILK), _delete(PLANTS)]),
    (
        "delete all 5 todos",
        [_delete(RENT), _delete(DENTIST), _delete(MILK), _delete(PLANTS), _delete(REPORT)],
    ),
    ("add milk and show my list", [_add("Milk"), LOOK]),
    ("delete milk and add bread", [_delete(MILK), _add("Bread")]),
    ("delete milk. Add bread. Thanks!", [_delete(MILK), _add("Bread")]),
    ("add bread, then mark it done", [_add("Bread"), _done("todo_6")]),
    ("find milk and delete it", [_find("milk"), _delete(MILK)]),
    (
        "rename milk to soy milk and make it urgent",
        [_change(MILK, title="Soy milk"), _change(MILK, priority=5)],
    ),
    ("don't delete milk, delete the dentist", [_delete(DENTIST)]),
    ("set all overdue tasks to tomorrow", [_change(RENT, due_date=TOMORROW)]),
]
TALKING: list[tuple[str, str]] = [
    ("don't delete milk", "changed nothing"),
    ("please don't add milk", "changed nothing"),
    ("never mark milk as done", "changed nothing"),
    ("you should not delete milk", "changed nothing"),
    ("no don't delete them", "changed nothing"),
    ("I don't need help", "changed nothing"),
    ("never mind", "left everything as it was"),
    ("what is the capital of France?", "rule-based stand-in"),
    ("what's the weather today?", "rule-based stand-in"),
    ("tell me a joke", "rule-based stand-in"),
    ("write a poem about cats", "rule-based stand-in"),
    ("Was ist die Hauptstadt von Frankreich?", "only understand English"),
    ("Zeige mir meine Aufgaben", "nur Englisch"),
    ("muéstrame mis tareas", "solo entiendo inglés"),
    ("elimina todas las tareas", "only understand English"),
    ("montre mes tâches", "que l'anglais"),
    ("remove o leite da lista", "só entendo inglês"),
    ("我今天有什么任务？", "只能理解英语"),
    ("牛乳を追加して", "英語しか"),
    ("купи молоко", "только английский"),
    ("hi", "Hello!"),
    ("good morning", "Hello!"),
    ("thanks!", "welcome"),
    ("bye", "Goodbye"),
    ("👍", "What would you like to do?"),
    ("😀", "only read words"),
    ("...", "only read words"),
    ("", "only read words"),
    ("yes", "What would you like to do?"),
    ("bananas", "rule-based stand-in"),
    ("the second one", "What should I do with"),
    ("add", "What should I add?"),
    ("delete", "What should I delete?"),
    ("delete everything", "Say “delete all 5 todos” to confirm"),
    ("clear my list", "Say “delete all 5 todos” to confirm"),
    ("delete everything except milk", "Say “delete all 4 todos except milk” to confirm"),
    ("mark everything done", "Say “complete all 4 todos” to confirm"),
    ("delete tent", "no todo that fits “tent”"),
    ("show me the second one", "**Call the dentist** — Tuesday at 10:00"),
    ("delete bananas", "no todo that fits “bananas”"),
    ("delete it", "don't know which todo"),
    ("delete the tenth one", "cannot tell which one"),
    ("change milk", "What should change about **Buy oat milk**?"),
    ("x" * 3000, "long text"),
]
